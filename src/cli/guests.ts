// Commands about guests. Those that ask the daemon send what was written; it judges. `guests config` needs none.

import { readFileSync } from 'node:fs';
import type { AttachBody, ClearView, DetachView, ExpectBody, GuestsView, GuestView } from '../api/views.ts';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import type { Context } from './context.ts';
import { ABSENT, asCliError, CliError, OK, USAGE, usageError } from './exit.ts';
import { renderGuest, renderGuests } from './render-guests.ts';

/** All guests; or one in detail, which is exit 1 unless its addresses are announced from here. */
export async function showGuests(context: Context, name: string | undefined): Promise<number> {
  if (name === undefined) {
    context.show(await context.client().get<GuestsView>('/v1/guests'), renderGuests);
    return OK;
  }
  const guest = await context.client().get<GuestView>(pathOf(name));
  context.show(guest, renderGuest);
  return isHere(guest) ? OK : ABSENT;
}

const isHere = ({ state }: GuestView): boolean => state === 'attached' || state === 'learned';

const pathOf = (name: string): string => `/v1/guests/${encodeURIComponent(name)}`;

/** Where a guest is and what it may have, as options. */
export interface PlaceOptions {
  port?: string;
  mac?: string;
  bridge?: string;
  address?: string[];
  allow?: string[];
  guest?: string;
  max?: string;
}

export interface AttachOptions extends PlaceOptions {
  file?: string;
}

function placeOf(options: PlaceOptions): Omit<AttachBody, 'name'> {
  const { port, mac, bridge, address, allow, guest, max } = options;
  if (max !== undefined && !/^\d{1,4}$/.test(max)) throw usageError('--max takes a number');
  return {
    ...(port !== undefined && { port }),
    ...(mac !== undefined && { mac }),
    ...(bridge !== undefined && { bridge }),
    ...(address !== undefined && { addresses: address }),
    ...(allow !== undefined && { allowed: allow }),
    ...(guest !== undefined && { guest }),
    ...(max !== undefined && { maxAddresses: Number(max) }),
  };
}

/** One binding by its options, or what a file holds. */
export async function attach(
  context: Context,
  name: string | undefined,
  options: AttachOptions,
): Promise<number> {
  const { file, ...place } = options;
  if ((name === undefined) === (file === undefined))
    throw usageError(
      name === undefined ? 'a name is missing' : '--file and a name exclude each other',
      'leafctl attach web1 --port tap100i0 --address 192.0.2.10, or leafctl attach --file FILE',
    );
  if (file !== undefined && Object.keys(place).length > 0)
    throw usageError('--file stands alone', 'the file has ports, MACs and addresses');
  const body = file === undefined ? { name, ...placeOf(place) } : readBody(file);
  context.show(await context.client().post<GuestsView>('/v1/guests', body), renderGuests);
  return OK;
}

/** JSON of a file, or of standard input. */
function readBody(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const message = `${file} cannot be read (${(error as { code?: string }).code ?? 'error'})`;
    throw new CliError(USAGE, { code: 'usage', message });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new CliError(USAGE, {
      code: 'usage',
      message: `${file} is not JSON`,
      hint: '{"name": "web1", "port": "tap100i0", "addresses": ["192.0.2.10"]}, or {"guests": […]}',
    });
  }
}

/** Each name; those that are not there are told and make it exit 1. */
export async function detach(context: Context, names: readonly string[]): Promise<number> {
  const done: DetachView[] = [];
  const absent: string[] = [];
  for (const name of names)
    try {
      done.push(await context.client().delete<DetachView>(pathOf(name)));
    } catch (error) {
      const failure = asCliError(error);
      if (failure.exitCode !== ABSENT || names.length === 1) throw failure;
      absent.push(failure.body.message);
    }
  context.show({ detached: done.map((one) => one.name) }, () => done.map((one) => `${one.text}\n`).join(''));
  context.remark(absent.map((one) => `leafctl: ${one}\n`).join(''));
  return absent.length === 0 ? OK : ABSENT;
}

export interface ExpectOptions extends PlaceOptions {
  from?: string;
  for?: string;
  qmp?: string;
}

export async function expectGuest(context: Context, name: string, options: ExpectOptions): Promise<number> {
  const { from, for: time, qmp, ...place } = options;
  const expect: ExpectBody = {
    ...(from !== undefined && { from }),
    ...(time !== undefined && { for: time }),
    ...(qmp !== undefined && { qmp }),
  };
  const body = { ...placeOf(place), ...expect };
  context.show(await context.client().post<GuestView>(`${pathOf(name)}/expect`, body), renderGuest);
  return OK;
}

export async function clearGuest(context: Context, address: string): Promise<number> {
  const view = await context.client().post<ClearView>('/v1/guests/clear', { address });
  context.show(view, (one) => `${one.text}\n`);
  return OK;
}

export interface OwnSideOptions {
  format: string;
  interface: string;
  mac?: string;
  gateway?: string[];
  dns?: string[];
}

/** What the guest itself needs, for its own tool. */
export async function showOwnSide(
  context: Context,
  texts: readonly string[],
  options: OwnSideOptions,
): Promise<number> {
  const { ownSideText } = await import('../guests/own-side.ts');
  const mac = options.mac === undefined ? undefined : parseMac(options.mac);
  if (options.mac !== undefined && mac === undefined) throw usageError(`${options.mac} is not a MAC address`);
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(options.interface))
    throw usageError(`${options.interface} is not an interface name`);
  const gateways = (options.gateway ?? []).map(addressOf);
  const format = options.format as Parameters<typeof ownSideText>[0];
  const text = ownSideText(format, {
    interface: options.interface,
    ...(mac !== undefined && { mac }),
    addresses: texts.map(hostOf),
    gateway4: gateways.find((one) => one.length === 4) ?? addressOf('169.254.0.1'),
    gateway6: gateways.find((one) => one.length === 16) ?? addressOf('fe80::1'),
    dns: (options.dns ?? []).map(addressOf),
  });
  // Not through `show`, which takes the ends of lines for control characters.
  context.terminal.out(context.json ? `${JSON.stringify({ format, text })}\n` : text);
  return OK;
}

function addressOf(text: string): Uint8Array {
  const address = parseIp(text);
  if (address === undefined) throw usageError(`${text} is not an address`);
  return address;
}

/** An address, with or without the length of a host. */
function hostOf(text: string): Uint8Array {
  const [address, length] = text.split('/');
  const bytes = addressOf(address ?? '');
  if (length !== undefined && length !== String(bytes.length * 8))
    throw usageError(`${text} is not one address`, 'guests have host addresses: /32 and /128');
  return bytes;
}

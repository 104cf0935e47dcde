// REST about guests. Where the configuration has none the paths are there all the same and say so: a hook that
// attaches must tell "no such thing" from "wrong address".

import type { FastifyInstance } from 'fastify';
import { LeafdError } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import type { Backend, GuestsBackend } from './backend.ts';
import { attachRequests, clearAddress, expectRequest } from './guest-bodies.ts';
import { stateTexts } from './guest-texts.ts';
import { type Fields, nameOf, onlyFields } from './query.ts';
import type { ClearView, DetachView, GuestsView, GuestView, StatusView, WhyView } from './views.ts';

type Named = { Params: { name: string } };

/** Adds them. */
export function addGuests(app: FastifyInstance, backend: Backend): void {
  app.get('/v1/guests', (request): GuestsView => {
    onlyFields(request.query as Fields, []);
    return { guests: guestsOf(backend).list() };
  });
  app.get<Named>('/v1/guests/:name', (request) => {
    const name = nameOf('name', request.params.name);
    return guestsOf(backend).one(name) ?? nobody(name);
  });
  app.post('/v1/guests', async (request): Promise<GuestsView> => {
    const guests = guestsOf(backend);
    return { guests: await guests.attach(attachRequests(request.body)) };
  });
  app.post<Named>('/v1/guests/:name/expect', async (request) => {
    const name = nameOf('name', request.params.name);
    const guests = guestsOf(backend);
    const { binding, expect } = expectRequest(name, request.body);
    return (await guests.expect(name, binding, expect)) ?? nobody(name);
  });
  app.delete<Named>('/v1/guests/:name', async (request): Promise<DetachView> => {
    const name = nameOf('name', request.params.name);
    if (!(await guestsOf(backend).detach(name))) return nobody(name);
    return { name, text: `${name} is detached` };
  });
  app.post('/v1/guests/clear', async (request): Promise<ClearView> => {
    const guests = guestsOf(backend);
    const bytes = clearAddress(request.body);
    const address = formatIp(bytes);
    if (await guests.clear(bytes)) return { address, text: `${address} is no longer frozen` };
    throw new LeafdError('not-found', `${address} is not frozen`, { hint: `leafctl why ${address}` });
  });
}

function guestsOf({ guests }: Backend): GuestsBackend {
  if (guests !== undefined) return guests;
  throw new LeafdError('not-found', 'no guests are looked after here', {
    hint: 'guests: in leafd.yaml names the bridges and taps of guests',
  });
}

function nobody(name: string): never {
  throw new LeafdError('not-found', `there is no guest ${name}`, { hint: 'leafctl guests lists them' });
}

/** The status with the guests' part. */
export function withGuests(status: StatusView, { guests }: Backend): StatusView {
  return guests === undefined ? status : { ...status, guests: guests.counts() };
}

/** A guest asked for by its name, port or MAC. */
function guestCalled({ guests }: Backend, thing: string): GuestView | undefined {
  const mac = thing.toLowerCase();
  return guests?.one(thing) ?? guests?.list().find((one) => one.port === thing || one.mac === mac);
}

/** Each of its addresses. */
function guestExplained(guest: GuestView | undefined, thing: string): WhyView | undefined {
  if (guest === undefined) return undefined;
  const { name, addresses, reason, state } = guest;
  const steps = addresses.map((one) => ({
    code: one.reason.code,
    text: `${one.address} ${stateTexts[one.state]}: ${one.reason.text}`,
  }));
  const called = name === thing ? '' : `${thing}: `;
  const summary = `${called}${name} is a guest, ${state}: ${reason.text}`;
  return { thing, kind: 'guest', summary, paths: [], advertised: [], steps };
}

/** An explanation with the guest's part, for addresses and host prefixes; alone where there is no route. */
export function explained(backend: Backend, thing: string): WhyView | undefined {
  const found = backend.why(thing);
  const isOther = found === undefined || found.steps?.some(({ code }) => code === 'noPattern') === true;
  const view = (isOther ? guestExplained(guestCalled(backend, thing), thing) : undefined) ?? found;
  const address = backend.guests === undefined ? undefined : addressIn(thing);
  const guest = address === undefined ? undefined : backend.guests?.why(address);
  if (guest === undefined) return view;
  if (view !== undefined) return { ...view, guest };
  const kind = thing.includes('/') ? 'prefix' : 'address';
  return { thing, kind, summary: guest.summary, guest, paths: [], advertised: [] };
}

function addressIn(thing: string): Uint8Array | undefined {
  const address = parseIp(thing);
  if (address !== undefined) return address;
  const prefix = parsePrefix(thing, { strict: true });
  return prefix !== undefined && prefix.length === prefix.bytes.length * 8 ? prefix.bytes : undefined;
}

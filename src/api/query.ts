// What comes in: query strings and bodies, judged before anyone acts on them. Every refusal names the field. Numbers,
// prefixes and addresses are checked here, so a backend can rely on their form.

import { LeafdError } from '../lib/leafd-error.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix, prefixText } from '../net/prefix.ts';
import { families } from '../wire/bgp/family.ts';
import type { ConfigFile, RoutesQuery } from './backend.ts';
import { isNlriPart } from './nlri-view.ts';
import type { PeerAction } from './views.ts';

export const DEFAULT_ROWS = 1000;
export const MAX_ROWS = 10_000;
const MAX_FILES = 256;
const MAX_TEXT = 256;

export type Fields = Readonly<Record<string, unknown>>;

/** A request that makes no sense: answered with 400. */
export function badRequest(message: string, hint?: string): LeafdError {
  return new LeafdError('bad-request', message, hint === undefined ? {} : { hint });
}

/**
 * Refuses fields that mean nothing here: a filter that is misspelt must not widen the answer in silence. `at` is the
 * path of the fields, with a dot at its end.
 */
export function onlyFields(fields: Fields, known: readonly string[], at = ''): void {
  for (const key of Object.keys(fields))
    if (!known.includes(key))
      throw badRequest(`${at}${printable(key)}: is not a field of this request`, `known: ${known}`);
}

function printable(text: string): string {
  return text.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}

function textOf(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw badRequest(`${key}: is given more than once`);
  if (value === '' || value.length > MAX_TEXT)
    throw badRequest(`${key}: must have 1 to ${MAX_TEXT} characters`);
  return value;
}

/** A whole number within bounds, or the default. */
export function numberOf(fields: Fields, key: string, low: number, high: number, otherwise: number): number {
  const text = textOf(fields, key);
  if (text === undefined) return otherwise;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high))
    throw badRequest(`${key}: must be a whole number from ${low} to ${high}`);
  return value;
}

function flagOf(fields: Fields, key: string): boolean {
  const value = fields[key];
  if (value === undefined || value === 'false' || value === '0') return false;
  if (value === '' || value === 'true' || value === '1') return true;
  throw badRequest(`${key}: must be true or false`);
}

/** The filters of GET /v1/routes. */
export function routesQuery(fields: Fields): RoutesQuery {
  onlyFields(fields, routeFields);
  const query: RoutesQuery = {
    received: flagOf(fields, 'received'),
    advertised: flagOf(fields, 'advertised'),
    limit: numberOf(fields, 'limit', 1, MAX_ROWS, DEFAULT_ROWS),
  };
  const family = textOf(fields, 'family');
  if (family !== undefined) {
    const known = families.find(({ name }) => name === family);
    if (known === undefined)
      throw badRequest(`family: must be one of ${families.map(({ name }) => name).join(', ')}`);
    query.family = known.name;
  }
  const prefix = textOf(fields, 'prefix');
  if (prefix !== undefined) query.prefix = isNlriPart(prefix) ? prefix : canonicalPrefix(prefix);
  const address = textOf(fields, 'for');
  if (address !== undefined) {
    if (parseIp(address) === undefined) throw badRequest('for: must be an IPv4 or IPv6 address');
    query.for = address;
  }
  const community = textOf(fields, 'community');
  if (community !== undefined) {
    const known = [parseCommunity, parseLargeCommunity, parseExtendedCommunity].some((parse) =>
      parse(community),
    );
    if (!known)
      throw badRequest('community: must be a community', 'such as 65000:1, 65000:1:2 or rt:65000:1');
    query.community = community;
  }
  for (const key of ['peer', 'cursor'] as const) {
    const value = textOf(fields, key);
    if (value !== undefined) query[key] = value;
  }
  if (query.received && query.advertised) throw badRequest('advertised: excludes received');
  if ((query.received || query.advertised) && query.peer === undefined)
    throw badRequest(`peer: is required with ${query.received ? 'received' : 'advertised'}`);
  return query;
}

const routeFields = [
  'family',
  'prefix',
  'for',
  'peer',
  'community',
  'received',
  'advertised',
  'limit',
  'cursor',
] as const;

/** The prefix in canonical text; an address means itself as a host prefix. */
function canonicalPrefix(text: string): string {
  const address = parseIp(text);
  const prefix = parsePrefix(address === undefined ? text : `${text}/${address.length * 8}`, {
    strict: true,
  });
  if (prefix !== undefined) return prefixText(prefix);
  const loose = parsePrefix(text);
  if (loose === undefined) throw badRequest('prefix: must be a prefix', 'such as 10.0.0.0/8');
  throw badRequest('prefix: has bits set beyond its length', `did you mean ${prefixText(loose)}?`);
}

/** A name in a path or query: printable and short. */
export function nameOf(field: string, value: unknown): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (typeof value !== 'string' || value === '' || value.length > MAX_TEXT || /[\x00-\x1f\x7f]/.test(value))
    throw badRequest(`${field}: must be 1 to ${MAX_TEXT} printable characters`);
  return value;
}

const peerActions: readonly PeerAction[] = ['reset', 'refresh', 'shutdown', 'enable'];

/** The action in a path. */
export function actionOf(value: unknown): PeerAction {
  const action = peerActions.find((one) => one === value);
  if (action === undefined)
    throw new LeafdError('not-found', 'there is no such action', { hint: peerActions.join(', ') });
  return action;
}

/** The text for the peer in the body of an action (RFC 9003: at most 255 bytes), or nothing. */
export function actionText(body: unknown): string | undefined {
  if (body === undefined || body === null || body === '') return undefined;
  if (typeof body !== 'object' || Array.isArray(body))
    throw badRequest('the body must be {"text": "…"} or empty');
  onlyFields(body as Fields, ['text']);
  const { text } = body as { text?: unknown };
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || Buffer.byteLength(text) > 255)
    throw badRequest('text: must be at most 255 bytes');
  return text;
}

/** The configuration in a body: YAML as it is, or JSON `{"files": [{"file": "…", "text": "…"}]}`. */
export function configFiles(body: unknown): ConfigFile[] {
  if (typeof body === 'string') return [{ file: 'leafd.yaml', text: body }];
  const hint =
    'YAML with content type application/yaml, or JSON {"files": [{"file": "leafd.yaml", "text": "…"}]}';
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('the body must be a configuration', hint);
  onlyFields(body as Fields, ['files']);
  const { files } = body as { files?: unknown };
  if (!Array.isArray(files) || files.length === 0) throw badRequest('files: must be a list of files', hint);
  if (files.length > MAX_FILES) throw badRequest(`files: must be at most ${MAX_FILES}`);
  return files.map((entry: unknown, index) => {
    const { file, text } = (typeof entry === 'object' && entry !== null ? entry : {}) as Fields;
    if (typeof text !== 'string') throw badRequest(`files.${index}.text: must be text`);
    return { file: nameOf(`files.${index}.file`, file), text };
  });
}

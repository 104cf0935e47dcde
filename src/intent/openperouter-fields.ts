// Reads a map of OpenPERouter's: keys in any of its spellings, each value judged where it stands. A key that nobody
// takes is told with the one that was probably meant. No message repeats a value, because it may be a password.

import type { Place } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { type Prefix, parsePrefix, prefixText } from '../net/prefix.ts';
import type { Given } from './openperouter-model.ts';
import { nearest, suggestion } from './suggest.ts';
import { type ConfigProblem, formatPlace, type ListNode, type MapNode, type TreeNode } from './tree.ts';

/** A value with its place and the path that a complaint about it names. */
export interface Field {
  path: string;
  keyPlace: Place;
  node: TreeNode;
}

export type Complain = (where: Place, path: string, reason: string, hint?: string) => void;

/** Puts complaints on a list. */
export function complainTo(problems: ConfigProblem[]): Complain {
  return (where, path, reason, hint) => {
    problems.push({ where, path, reason, ...(hint === undefined ? {} : { hint }) });
  };
}

/** Spellings differ in case, and words also in hyphens. */
const plain = (word: string): string => word.toLowerCase().replaceAll('-', '');

/** One map, of which keys are taken until `finish` tells those that are left. */
export class Fields {
  readonly path: string;
  readonly place: Place;
  readonly complain: Complain;
  private readonly byName = new Map<string, Field[]>();
  private readonly known: string[] = [];

  constructor(node: MapNode, path: string, complain: Complain) {
    this.path = path;
    this.place = node.place;
    this.complain = complain;
    for (const [key, { keyPlace, value }] of node.entries) {
      const field = { path: `${path}.${key}`, keyPlace, node: value };
      const name = key.toLowerCase();
      this.byName.set(name, [...(this.byName.get(name) ?? []), field]);
    }
  }

  /** The value of a key under its newest name or an older one; null is as good as absent, as in Kubernetes. */
  take(name: string, ...older: string[]): Field | undefined {
    this.known.push(name);
    const given = [name, ...older].flatMap((one) => {
      const fields = this.byName.get(one.toLowerCase()) ?? [];
      this.byName.delete(one.toLowerCase());
      return fields;
    });
    const set = given.filter(({ node }) => node.kind !== 'scalar' || node.value !== null);
    if (set.length > 1) this.twice(set[1]!, set[0]!);
    return set[0];
  }

  /** The same, of a key that has to be there. */
  need(name: string, ...older: string[]): Field | undefined {
    const present = [name, ...older].some((one) => this.byName.has(one.toLowerCase()));
    const field = this.take(name, ...older);
    if (field === undefined && !present) this.complain(this.place, `${this.path}.${name}`, 'is required');
    else if (field === undefined) this.complain(this.place, `${this.path}.${name}`, 'is empty');
    return field;
  }

  twice(second: Field, first: Field): void {
    this.complain(second.keyPlace, second.path, `is given already at ${formatPlace(first.keyPlace)}`);
  }

  /** Exactly one of some keys; the first that is too many is told, and none is taken then. */
  oneOf<Key extends string>(...names: Key[]): { key: Key; field: Field } | undefined {
    const given = names.flatMap((key) => {
      const field = this.take(key);
      return field === undefined ? [] : [{ key, field }];
    });
    const words = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
    if (given.length === 0) this.complain(this.place, this.path, `needs ${words}`, `exactly one of them`);
    if (given.length > 1)
      this.complain(
        given[1]!.field.keyPlace,
        given[1]!.field.path,
        `excludes ${given[0]!.key}`,
        `exactly one of ${words}`,
      );
    return given.length === 1 ? given[0] : undefined;
  }

  /** Takes keys of some generation that change nothing here. */
  ignore(...names: string[]): void {
    for (const name of names) this.byName.delete(name.toLowerCase());
  }

  /** Tells every key that was not taken. */
  finish(): void {
    for (const fields of this.byName.values())
      for (const { path, keyPlace } of fields) {
        const key = path.slice(this.path.length + 1);
        this.complain(keyPlace, path, 'is not a known key', suggestion(key, this.known));
      }
  }
}

/** The fields of a value that has to be a map. */
export function mapOf(field: Field, complain: Complain): Fields | undefined {
  if (field.node.kind === 'map') return new Fields(field.node, field.path, complain);
  complain(field.node.place, field.path, 'must be a map');
  return undefined;
}

/** The entries of a value that has to be a list. */
export function listOf(
  field: Field,
  complain: Complain,
  limits: { least?: number; most: number },
): Field[] | undefined {
  const { node, path } = field;
  if (node.kind !== 'list') {
    complain(node.place, path, 'must be a list', 'write [ ] around it');
    return undefined;
  }
  const { least = 0, most } = limits;
  if (node.items.length < least) complain(node.place, path, `must have at least ${least} of them`);
  if (node.items.length > most) {
    complain(node.place, path, `must have at most ${most} of them`);
    return undefined;
  }
  return entriesOf(node, path);
}

function entriesOf(node: ListNode, path: string): Field[] {
  return node.items.map((item, index) => ({ path: `${path}.${index}`, keyPlace: item.place, node: item }));
}

/** A whole number within bounds, both included. */
export function whole(
  field: Field | undefined,
  complain: Complain,
  low: number,
  high: number,
): Given<number> | undefined {
  if (field === undefined) return undefined;
  const { node, path } = field;
  const value = node.kind === 'scalar' ? node.value : undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    const hint = typeof value === 'string' && /^\d+$/.test(value) ? 'without quotes' : undefined;
    complain(node.place, path, 'must be a whole number', hint);
    return undefined;
  }
  if (value >= low && value <= high) return { value, place: node.place };
  complain(node.place, path, `must be from ${low} to ${high}`);
  return undefined;
}

/** True or false. */
export function flag(field: Field | undefined, complain: Complain): Given<boolean> | undefined {
  if (field === undefined) return undefined;
  const { node, path } = field;
  if (node.kind === 'scalar' && typeof node.value === 'boolean')
    return { value: node.value, place: node.place };
  complain(node.place, path, 'must be true or false');
  return undefined;
}

/** Text. */
export function text(field: Field | undefined, complain: Complain): Given<string> | undefined {
  if (field === undefined) return undefined;
  const { node, path } = field;
  if (node.kind === 'scalar' && typeof node.value === 'string')
    return { value: node.value, place: node.place };
  const isScalar = node.kind === 'scalar';
  complain(node.place, path, 'must be text', isScalar ? 'put it in quotes' : undefined);
  return undefined;
}

/** One of some words, in any case and with or without hyphens; the value is the word as listed. */
export function word<Word extends string>(
  field: Field | undefined,
  complain: Complain,
  words: readonly Word[],
): Given<Word> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  const value = words.find((one) => plain(one) === plain(given.value));
  if (value !== undefined) return { value, place: given.place };
  const near = nearest(given.value, words);
  const hint = near === undefined ? undefined : `did you mean "${near}"?`;
  complain(
    given.place,
    field!.path,
    `must be ${words.length === 1 ? '' : 'one of '}${words.join(', ')}`,
    hint,
  );
  return undefined;
}

/** A CIDR, which may have host bits set; the value is the network's text. */
export function cidr(
  field: Field | undefined,
  complain: Complain,
  family?: 'IPv4' | 'IPv6',
): Given<string> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  const prefix = parsePrefix(given.value);
  const fits =
    prefix !== undefined && (family === undefined || prefix.bytes.length === (family === 'IPv4' ? 4 : 16));
  if (fits) return { value: prefixText(prefix), place: given.place };
  const examples = { IPv4: '192.169.10.0/24', IPv6: 'fd00:10::/64' };
  const hint = `such as ${family === undefined ? `${examples.IPv4} or ${examples.IPv6}` : examples[family]}`;
  complain(given.place, field!.path, `must be an ${family ?? 'IPv4 or IPv6'} CIDR`, hint);
  return undefined;
}

/** Parsed once: resources are compared each with each. */
const prefixes = new WeakMap<Given<string>, Prefix>();

/** The prefix that `cidr` has judged. */
export function prefixOfCidr(given: Given<string>): Prefix {
  const known = prefixes.get(given);
  if (known !== undefined) return known;
  const prefix = parsePrefix(given.value)!;
  prefixes.set(given, prefix);
  return prefix;
}

/** An address; the value is its canonical text. */
export function address(
  field: Field | undefined,
  complain: Complain,
  family?: 'IPv4',
): Given<string> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  const bytes = parseIp(given.value);
  if (bytes !== undefined && (family === undefined || bytes.length === 4))
    return { value: formatIp(bytes), place: given.place };
  complain(given.place, field!.path, `must be an ${family ?? 'IPv4 or IPv6'} address`);
  return undefined;
}

/** The name of a network device, as OpenPERouter wants it. */
export function deviceName(field: Field | undefined, complain: Complain): Given<string> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  if (/^[a-zA-Z][a-zA-Z0-9._-]{0,14}$/.test(given.value)) return given;
  const hint = 'a letter, then letters, digits, ".", "_" and "-", at most 15';
  complain(given.place, field!.path, 'must be the name of a network device', hint);
  return undefined;
}

/** The name of a VRF. */
export function vrfName(field: Field | undefined, complain: Complain): Given<string> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  if (/^[a-zA-Z][a-zA-Z0-9_-]{0,14}$/.test(given.value)) return given;
  const hint = 'a letter, then letters, digits, "_" and "-", at most 15';
  complain(given.place, field!.path, 'must be the name of a VRF', hint);
  return undefined;
}

/** An AS number that can be somebody's. */
export function asn(field: Field | undefined, complain: Complain): Given<number> | undefined {
  const given = whole(field, complain, 1, 4294967295);
  if (given === undefined) return undefined;
  const reserved: Record<number, string> = {
    23456: "AS 23456 is AS_TRANS (RFC 6793), nobody's own",
    65535: 'AS 65535 is reserved (RFC 7300)',
    4294967295: 'AS 4294967295 is reserved (RFC 7300)',
  };
  const reason = reserved[given.value];
  if (reason === undefined) return given;
  complain(given.place, field!.path, reason);
  return undefined;
}

/** Seconds from a whole number of them, or as generation A has it from a duration of Go such as `180s` or `3m0s`. */
export function seconds(
  newer: Field | undefined,
  older: Field | undefined,
  fields: Fields,
): Given<number> | undefined {
  const most = 65535;
  if (newer !== undefined && older !== undefined) fields.twice(older, newer);
  if (newer !== undefined) return whole(newer, fields.complain, 0, most);
  const given = text(older, fields.complain);
  if (given === undefined) return undefined;
  const value = goSeconds(given.value);
  if (value !== undefined && Number.isInteger(value) && value <= most) return { value, place: given.place };
  const reason =
    value === undefined ? 'must be a duration' : `must be whole seconds, at most ${most} of them`;
  fields.complain(given.place, older!.path, reason, 'such as 180s or 3m0s');
  return undefined;
}

function goSeconds(duration: string): number | undefined {
  if (duration === '0') return 0;
  const parts = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?$/.exec(duration);
  if (parts === null || duration === '') return undefined;
  const [hours, minutes, secs, ms] = parts.slice(1).map((part) => Number(part ?? 0));
  return hours! * 3600 + minutes! * 60 + secs! + ms! / 1000;
}

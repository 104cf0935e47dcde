// The text forms that appear in a configuration, each as a zod schema whose message is what the operator reads.
// Schemas only judge; load.ts and peers.ts turn the judged text into bytes and numbers with the same parsers.

import * as z from 'zod';
import { parseAsn } from '../net/asn.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix, prefixOf, prefixText } from '../net/prefix.ts';
import { parseDuration } from './duration.ts';
import { nearest } from './suggest.ts';

const wrong = (error: string, hint?: string) =>
  hint === undefined ? { error } : { error, params: { hint } };

/** A map with exactly these keys. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape);
}

export const text = z.string();

/** Names of groups, policies and sets: they appear in commands, so no spaces and no shell characters. */
export const identifier = z
  .string()
  .refine(
    (name) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name),
    wrong('must be a name of letters, digits, "-", "_" and ".", at most 63'),
  );

export const duration = z
  .string()
  .refine(
    (value) => parseDuration(value) !== undefined,
    wrong('must be a duration', 'a number and a unit: 300ms, 9s, 5m, 2h, 1d'),
  )
  .meta({ pattern: '^[0-9]{1,9}(ms|s|m|h|d)$' });

/** Why a number may not be anyone's AS number, or undefined. */
function reservedAsn(asn: number): string | undefined {
  if (asn === 0) return 'AS 0 is reserved (RFC 7607)';
  if (asn === 23456) return "AS 23456 is AS_TRANS (RFC 6793), nobody's own";
  if (asn === 65535 || asn === 4294967295) return `AS ${asn} is reserved (RFC 7300)`;
  return undefined;
}

const asnNumber = z
  .number()
  .refine(
    (asn) => Number.isInteger(asn) && asn >= 0 && asn <= 4294967295,
    wrong('must be an AS number from 1 to 4294967295', 'put asdot (1.10) in quotes'),
  )
  .superRefine((asn, context) => {
    const reason = reservedAsn(asn);
    if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
  });

const asdot = z.string().superRefine((value, context) => {
  const asn = parseAsn(value);
  const reason = asn === undefined ? 'must be an AS number, as 65001 or "1.10"' : reservedAsn(asn);
  if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
});

/** An AS number: a number, or text in asplain or asdot. */
export const asn = z.union([asnNumber, asdot], { error: 'must be an AS number' });

/** The number of a validated `asn`. */
export function asnOf(value: string | number): number {
  return typeof value === 'number' ? value : parseAsn(value)!;
}

/** `65000-65199`, or undefined when the text is no such range. */
export function parseAsnRange(value: string): [low: number, high: number] | undefined {
  const [low, high, more] = value.split('-').map((part) => parseAsn(part.trim()));
  return low === undefined || high === undefined || more !== undefined ? undefined : [low, high];
}

const asnRange = z.string().superRefine((value, context) => {
  const single = parseAsn(value);
  const range = single === undefined ? parseAsnRange(value) : ([single, single] as const);
  if (range === undefined)
    context.addIssue({ code: 'custom', message: 'must be an AS number or a range such as 65000-65199' });
  else if (range[0] > range[1])
    context.addIssue({ code: 'custom', message: `is a range that ends before it begins (${value})` });
  else if (range[0] === 0) context.addIssue({ code: 'custom', message: 'AS 0 is reserved (RFC 7607)' });
});

/** An AS number or a range of them. */
export const asnItem = z.union([asnNumber, asnRange], {
  error: 'must be an AS number or a range such as 65000-65199',
});

const remoteAsWords = ['external', 'internal', 'any'];

const remoteAsText = z.string().superRefine((value, context) => {
  if (remoteAsWords.includes(value)) return;
  const asn = parseAsn(value);
  const reason = asn === undefined ? remoteAsForms : reservedAsn(asn);
  const near = nearest(value, remoteAsWords);
  const hint = near === undefined ? undefined : `did you mean "${near}"?`;
  if (reason !== undefined) context.addIssue({ code: 'custom', message: reason, params: { hint } });
});

const remoteAsForms = 'must be external, internal, any, an AS number, or a list of AS numbers and ranges';

/** Whom a peer may be. */
export const remoteAs = z.union([asnNumber, remoteAsText, z.array(asnItem).min(1)], { error: remoteAsForms });

/** A prefix without bits beyond its length. */
export const prefix = z.string().superRefine((value, context) => {
  const fault = prefixFault(value);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: fault.reason, params: { hint: fault.hint } });
});

/** What is wrong with the text of a prefix, or undefined. */
export function prefixFault(value: string): { reason: string; hint?: string } | undefined {
  const [address, length] = value.split('/');
  const bytes = parseIp(address ?? '');
  if (bytes === undefined) return { reason: 'must be a prefix', hint: 'such as 10.0.0.0/8 or 2001:db8::/32' };
  const longest = bytes.length * 8;
  if (length === undefined)
    return { reason: 'must be a prefix', hint: `write its length, as in ${value}/${longest}` };
  if (!/^\d{1,3}$/.test(length) || Number(length) > longest)
    return { reason: `must have a length from 0 to ${longest}` };
  if (parsePrefix(value, { strict: true }) === undefined)
    return {
      reason: 'has bits set beyond its length',
      hint: `did you mean ${prefixText(prefixOf(bytes, Number(length)))}?`,
    };
  return undefined;
}

export const ip = z
  .string()
  .refine((value) => parseIp(value) !== undefined, wrong('must be an IPv4 or IPv6 address'));

export const ip4 = z
  .string()
  .refine((value) => parseIp(value)?.length === 4, wrong('must be an IPv4 address'));

/** A whole number within bounds, both included. */
export function whole(low: number, high: number) {
  return z.number().int().min(low).max(high);
}

/** A path from the root. */
export const absolutePath = z
  .string()
  .refine((path) => path.startsWith('/') && !path.includes('\0'), wrong('must be an absolute path'));

/** A name the kernel takes (dev_valid_name): at most 15 bytes, no slash, no space. */
export const linkName = z
  .string()
  .min(1)
  .superRefine((name, context) => {
    const long = new TextEncoder().encode(name).length;
    if (long > 15)
      context.addIssue({
        code: 'custom',
        message: `is ${long} characters long; interface names have at most 15`,
      });
    else if (/[\s/:]/.test(name) || name === '.' || name === '..')
      context.addIssue({ code: 'custom', message: 'must be an interface name' });
  });

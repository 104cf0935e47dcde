// Text forms within policies that this room judges and the policy room compiles: prefixes with lengths, names of
// prefix sets among prefixes, and regular expressions over the text of a community.

import { parseIp } from '../net/ip.ts';
import type { PrefixRange } from './policy-definition.ts';

/** Whether an element of a list of prefixes is a set's name: prefixes have a slash, addresses are addresses. */
export function isPrefixSetName(text: string): boolean {
  return !/[/:]/.test(text) && parseIp(text) === undefined;
}

/** `10.0.0.0/8 ge 16 le 24` in parts, or undefined. */
export function parsePrefixRange(text: string): PrefixRange | undefined {
  const parts = /^(\S+)(?: ge (\d{1,3}))?(?: le (\d{1,3}))?$/.exec(text);
  if (parts === null) return undefined;
  const range: PrefixRange = { prefix: parts[1]! };
  if (parts[2] !== undefined) range.ge = Number(parts[2]);
  if (parts[3] !== undefined) range.le = Number(parts[3]);
  return range;
}

/** Longer ones are nobody's intention. */
const MAX_EXPRESSION = 256;

/**
 * `/65000:[0-9]+/` as a regular expression over the text of one community, or undefined. As in the field, `_` stands
 * for the begin or the end.
 */
export function communityExpression(text: string): RegExp | undefined {
  const source = /^\/(.+)\/$/s.exec(text)?.[1];
  if (source === undefined || source.length > MAX_EXPRESSION || !/^[\w^$.*+?|()[\]{}:,\\-]+$/.test(source))
    return undefined;
  try {
    return new RegExp(source.replaceAll('_', '(?:^|$)'));
  } catch {
    return undefined;
  }
}

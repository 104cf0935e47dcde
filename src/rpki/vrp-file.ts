// Payloads out of a local JSON file: what rpki-client and Routinator write (`{"roas": [{"asn", "prefix",
// "maxLength"}]}`), or local assertions in the form of RFC 8416 section 3.4.1 (`{"slurmVersion": 1,
// "locallyAddedAssertions": …}`). Text in, payloads out, or what is wrong and where; a file is taken whole or not at
// all. Filters of RFC 8416 take payloads away from a cache's data, which is the cache's own work: a file that has some
// is refused rather than half understood.

import { readU32 } from '../lib/bytes.ts';
import { parseAsn } from '../net/asn.ts';
import { parsePrefix } from '../net/prefix.ts';
import type { VrpFamily } from './vrp-table.ts';

export interface FileVrp {
  family: VrpFamily;
  words: readonly [number, number, number, number];
  length: number;
  maxLength: number;
  asn: number;
}

/** What the file says, or the first thing that is wrong with it. */
export type VrpFile = { kind: 'read'; vrps: FileVrp[] } | { kind: 'wrong'; reason: string };

type Loose = Readonly<Record<string, unknown>>;

/** Reads the text of a file. */
export function readVrpFile(text: string): VrpFile {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    return { kind: 'wrong', reason: `is not JSON: ${(error as Error).message.slice(0, 120)}` };
  }
  const found = listOf(content);
  if (typeof found === 'string') return { kind: 'wrong', reason: found };
  const vrps: FileVrp[] = [];
  for (const [index, one] of found.list.entries()) {
    const vrp = vrpOf(one, found.maxLength);
    if (typeof vrp === 'string') return { kind: 'wrong', reason: `${found.name}[${index}]: ${vrp}` };
    vrps.push(vrp);
  }
  return { kind: 'read', vrps };
}

function listOf(content: unknown): { list: unknown[]; name: string; maxLength: string } | string {
  const { roas, slurmVersion, locallyAddedAssertions, validationOutputFilters } = asMap(content);
  if (Array.isArray(roas)) return { list: roas, name: 'roas', maxLength: 'maxLength' };
  if (slurmVersion === undefined) return 'has neither "roas" nor "slurmVersion"';
  if (slurmVersion !== 1) return `has slurmVersion ${String(slurmVersion)}, not 1`;
  const { prefixFilters } = asMap(validationOutputFilters);
  if (Array.isArray(prefixFilters) && prefixFilters.length > 0)
    return 'has prefixFilters, which belong to the cache: give it the file instead';
  const { prefixAssertions } = asMap(locallyAddedAssertions);
  const list = Array.isArray(prefixAssertions) ? prefixAssertions : [];
  return { list, name: 'prefixAssertions', maxLength: 'maxPrefixLength' };
}

function vrpOf(one: unknown, maxLengthKey: string): FileVrp | string {
  const { asn, prefix, [maxLengthKey]: given } = asMap(one);
  const number = typeof asn === 'number' ? parseAsn(String(asn)) : parseAsn(String(asn ?? ''));
  if (number === undefined) return `asn ${JSON.stringify(asn)} is no AS number`;
  const parsed = typeof prefix === 'string' ? parsePrefix(prefix, { strict: true }) : undefined;
  if (parsed === undefined) return `prefix ${JSON.stringify(prefix)} is no prefix`;
  const { bytes, length } = parsed;
  const maxLength = given ?? length;
  if (typeof maxLength !== 'number' || !(maxLength >= length && maxLength <= bytes.length * 8))
    return `${maxLengthKey} ${JSON.stringify(given)} does not fit ${prefix as string}`;
  const four = bytes.length === 4;
  return {
    family: four ? 0 : 1,
    words: four
      ? [readU32(bytes, 0), 0, 0, 0]
      : [readU32(bytes, 0), readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12)],
    length,
    maxLength,
    asn: number,
  };
}

function asMap(value: unknown): Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : {};
}

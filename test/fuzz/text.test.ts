// Fuzzing the text parsers: they answer `undefined` or something that reads back from its own text, never throw,
// and take no longer for nasty text than for nice.
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { Rng } from '../../src/lib/rng.ts';
import { formatAsn, parseAsn } from '../../src/net/asn.ts';
import {
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from '../../src/net/community.ts';
import { formatIp6ExtendedCommunity, parseIp6ExtendedCommunity } from '../../src/net/extended-community.ts';
import { formatIp, formatIp4, parseIp, parseIp4 } from '../../src/net/ip.ts';
import { formatEsi, formatMac, parseEsi, parseMac } from '../../src/net/mac.ts';
import { parsePrefix, prefixText } from '../../src/net/prefix.ts';
import { formatRouteDistinguisher, parseRouteDistinguisher } from '../../src/net/route-distinguisher.ts';
import { asPathText, parseAsPath } from '../../src/wire/bgp/attribute/as-path.ts';
import { families } from '../../src/wire/bgp/family.ts';
import { type NlriCodec, nlriCodecs } from '../../src/wire/bgp/nlri/opaque.ts';
import { caseCount, randomBytes, seed } from './cases.ts';
import { validOf } from './nlri-cases.ts';

const alphabets = [
  '0123456789.',
  '0123456789abcdef:.',
  '0123456789:',
  '0123456789abcdef:-./%[](){}, rtsoAx\u0000é',
];

const opaqueFamilies = families.filter(({ form }) => form === 'opaque').map(({ id }) => id);

function nearly(rng: Rng): string {
  const samples = [
    formatIp(randomBytes(rng, 4)),
    formatIp(randomBytes(rng, 16)),
    `${formatIp(randomBytes(rng, 16))}/${rng.below(129)}`,
    `${formatIp(randomBytes(rng, 4))}/${rng.below(33)}`,
    formatLargeCommunity(randomBytes(rng, 12)),
    formatExtendedCommunity(new Uint8Array([rng.below(3), rng.between(2, 3), ...randomBytes(rng, 6)])),
    `${rng.below(70_000)}:${rng.below(70_000)}`,
    `${rng.below(70_000)} {${rng.u32()} ${rng.u32()}} (${rng.below(9)})`,
    String(rng.u32() * (rng.chance(0.5) ? 1 : 2)),
    formatRouteDistinguisher(new Uint8Array([0, rng.below(4), ...randomBytes(rng, 6)])),
    formatExtendedCommunity(
      new Uint8Array([rng.pick([3, 6, 0x40, 0x80]), rng.below(14), ...randomBytes(rng, 6)]),
    ),
    formatIp6ExtendedCommunity(new Uint8Array([0, rng.pick([2, 3, 99]), ...randomBytes(rng, 18)])),
    formatMac(randomBytes(rng, 6)),
    formatEsi(randomBytes(rng, 10)),
  ];
  return rng.chance(0.7) ? rng.pick(samples) : nlriText(rng);
}

// A route of a family whose NLRI is more than a prefix.
function nlriText(rng: Rng): string {
  const family = rng.pick(opaqueFamilies);
  const codec = nlriCodecs[family]!;
  const key = new ByteWriter();
  codec.split(new Uint8Array(validOf(rng, family)), 0, key, new ByteWriter());
  return codec.text(key.bytes, 0, key.length);
}

// What a text gives must be a route that can be sent.
function sendable(codec: NlriCodec, key: Uint8Array): boolean {
  const out = new ByteWriter();
  codec.join(key, 0, key.length, key, 0, 0, out);
  return codec.check(out.bytes, 0, out.length, false) === out.length;
}

function text(rng: Rng): string {
  const alphabet = rng.pick(alphabets);
  if (rng.chance(0.2)) {
    return Array.from({ length: rng.below(rng.chance(0.01) ? 5000 : 40) }, () =>
      rng.pick([...alphabet]),
    ).join('');
  }
  const sample = nearly(rng);
  if (rng.chance(0.3)) return sample;
  const at = rng.below(sample.length + 1);
  return sample.slice(0, at) + rng.pick([...alphabet]) + sample.slice(at + rng.below(3));
}

// One parser: its text must read back as the same value.
interface Parser {
  readonly name: string;
  readonly parse: (text: string) => unknown;
  readonly format: (value: never) => string;
}

function parser<T>(
  name: string,
  parse: (text: string) => T | undefined,
  format: (value: T) => string,
): Parser {
  return { name, parse, format };
}

const parsers: readonly Parser[] = [
  parser('parseIp', parseIp, (value) => formatIp(value)),
  parser('parseIp4', parseIp4, formatIp4),
  parser('parsePrefix', parsePrefix, prefixText),
  parser('parseAsn', parseAsn, formatAsn),
  parser('parseCommunity', parseCommunity, formatCommunity),
  parser('parseLargeCommunity', parseLargeCommunity, (value) => formatLargeCommunity(value)),
  parser('parseExtendedCommunity', parseExtendedCommunity, (value) => formatExtendedCommunity(value)),
  parser('parseAsPath', parseAsPath, asPathText),
  parser('parseIp6ExtendedCommunity', parseIp6ExtendedCommunity, (value) =>
    formatIp6ExtendedCommunity(value),
  ),
  parser('parseRouteDistinguisher', parseRouteDistinguisher, (value) => formatRouteDistinguisher(value)),
  parser('parseMac', parseMac, (value) => formatMac(value)),
  parser('parseEsi', parseEsi, (value) => formatEsi(value)),
  ...nlriCodecs.flatMap((codec, family) => {
    if (codec === undefined) return [];
    const format = (key: Uint8Array): string => {
      if (!sendable(codec, key)) throw new Error(`${families[family]!.name}: a text gives no NLRI`);
      return codec.text(key, 0, key.length);
    };
    return [parser(families[family]!.name, codec.parse, format)];
  }),
];

test.each(parsers)('$name', ({ name, parse, format }) => {
  const rng = new Rng(seed);
  let read = 0;
  for (let n = caseCount(0.05); n > 0; n--) {
    const candidate = text(rng);
    const value = parse(candidate);
    if (value === undefined) continue;
    read++;
    const again = parse(format(value as never));
    if (JSON.stringify(again) !== JSON.stringify(value)) {
      throw new Error(`${name}: seed ${seed}, ${JSON.stringify(candidate)} reads back differently`);
    }
  }
  expect(read).toBeGreaterThan(10);
});

// What policies see of VPN and EVPN routes, from the texts that the codecs read into keys.

import { expect, test } from 'vitest';
import { EVPN, IPV4, VPNV4, VPNV6 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { compilePolicies } from './compile.ts';
import type { MatchDefinition } from './definition.ts';
import { evaluate } from './evaluate.ts';
import { clearNlri, fillNlri } from './nlri-input.ts';
import { ACCEPT, newPolicyInput, newPolicyOutput } from './program.ts';

function accepts(
  match: MatchDefinition,
  family: number,
  text: string,
  rest: readonly number[] = [],
): boolean {
  const policy = compilePolicies({ policies: { p: { rules: [{ match, action: 'accept' }] } } }).get('p')!;
  expect(policy.readsPrefix).toBe(true);
  const input = { ...newPolicyInput(), family };
  const key = nlriCodecs[family]!.parse(text);
  expect(key, text).toBeDefined();
  fillNlri(input, family, key!, 0, key!.length, Uint8Array.from(rest), 0, rest.length);
  return evaluate(policy, input, newPolicyOutput()) === ACCEPT;
}

const esi = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const macIp = '[2]:[0]:[48]:[aa:bb:cc:dd:ee:ff]:[32]:[10.0.0.1] RD 65000:100';
const ipPrefix = '[5]:[0]:[24]:[10.1.2.0] RD 10.0.0.9:7';

test.each<[MatchDefinition, number, string, readonly number[], boolean]>([
  [{ routeDistinguisher: '65000:1' }, VPNV4, '65000:1:10.1.0.0/16', [], true],
  [{ routeDistinguisher: '65000:2' }, VPNV4, '65000:1:10.1.0.0/16', [], false],
  [{ routeDistinguisher: ['1:1', '65000:*'] }, VPNV4, '65000:1:10.1.0.0/16', [], true],
  [{ routeDistinguisher: '*:1' }, VPNV4, '10.0.0.1:1:10.1.0.0/16', [], true],
  [{ prefixes: '10.0.0.0/8 le 24' }, VPNV4, '65000:1:10.1.0.0/16', [], true],
  [{ prefixes: '10.0.0.0/8' }, VPNV4, '65000:1:10.1.0.0/16', [], false],
  [{ prefixes: '2001:db8::/32 le 64' }, VPNV6, '65000:1:2001:db8:1::/48', [], true],
  [{ isDefault: true }, VPNV4, '65000:1:0.0.0.0/0', [], true],
  [{ evpnType: 'macIp' }, EVPN, macIp, [], true],
  [{ evpnType: [3, 'ipPrefix'] }, EVPN, macIp, [], false],
  [{ vni: 100 }, EVPN, macIp, [...esi, 0, 0, 100], true],
  [{ vni: { min: 101 } }, EVPN, macIp, [...esi, 0, 0, 100], false],
  [{ prefixes: '10.0.0.0/24 ge 32' }, EVPN, macIp, [], true],
  [{ evpnType: 5, routeDistinguisher: '10.0.0.9:*' }, EVPN, ipPrefix, [], true],
  [{ prefixes: '10.1.0.0/16 le 24' }, EVPN, ipPrefix, [], true],
  [{ vni: 4096 }, EVPN, ipPrefix, [...esi, 0, 0, 0, 0, 0, 16, 0], true],
  [
    { evpnType: 'ipPrefix', not: { vni: { max: 100 } } },
    EVPN,
    ipPrefix,
    [...esi, 0, 0, 0, 0, 0, 0, 9],
    false,
  ],
])('%j on family %d, %s', (match, family, text, rest, expected) => {
  expect(accepts(match, family, text, rest)).toBe(expected);
});

test('a plain prefix has none of it', () => {
  const input = newPolicyInput();
  const key = nlriCodecs[EVPN]!.parse(macIp)!;
  fillNlri(input, EVPN, key, 0, key.length, Uint8Array.from([...esi, 0, 0, 1]), 0, 13);
  expect(input).toMatchObject({ evpnType: 2, vni: 1, hasDistinguisher: true, prefixWords: 1, length: 32 });
  clearNlri(input);
  expect(input).toMatchObject({ evpnType: -1, vni: -1, hasDistinguisher: false, prefixWords: 0 });
  fillNlri(input, IPV4, key, 0, key.length, key, 0, 0);
  expect(input.evpnType).toBe(-1);
});

// No resource makes the reader throw; and whatever it accepts, the rest of the configuration takes.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  four,
  manifest,
  many,
  nic,
  node,
  passthrough,
  read,
  underlay,
} from '../../test/support/openperouter.ts';
import { loadConfig, problemLines } from './load.ts';
import { readNodeFile } from './openperouter.ts';

describe('at random', () => {
  const keys = fc.constantFrom(
    ...[
      'kind',
      'apiVersion',
      'metadata',
      'name',
      'spec',
      'items',
      'asn',
      'neighbors',
      'interfaces',
      'hostSession',
    ],
    ...[
      'localCIDR',
      'ipv4',
      'nodeSelector',
      'matchLabels',
      'matchExpressions',
      'key',
      'operator',
      'values',
      'type',
    ],
    ...[
      'underlays',
      'bgppassthrough',
      'l3vnis',
      'l2vnis',
      'vni',
      'vrf',
      'gatewayIPs',
      'routingDomain',
      'bfd',
      'evpn',
    ],
    ...['cniDevice', 'rawConfig', 'addressFamilies', 'properties', 'passwordSecret', 'holdTime', '__proto__'],
  );
  const words = fc.constantFrom(
    ...[
      'Underlay',
      'L3Passthrough',
      'L3VNI',
      'L2VNI',
      'List',
      'UnderlayList',
      'network.openperouter.io/v1alpha1',
    ],
    ...[
      '192.169.10.0/24',
      'fd00::/64',
      'In',
      'External',
      'CNIDevice',
      'NetworkDevice',
      'evpn',
      'x',
      '9s',
      '',
    ],
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      words,
      fc.integer({ min: -1, max: 70_000 }),
      fc.constantFrom(null, true, 1.5),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(keys, tie('tree'), { maxKeys: 6 }),
    ),
  }));

  test('no tree makes the reader throw, nor does what was good before', () => {
    fc.assert(
      fc.property(
        fc.array(tree, { maxLength: 3 }),
        fc.constantFrom(...['Underlay', 'L3Passthrough', 'L2VNI']),
        (trees, kind) => {
          const specs = trees.map((spec, i) => manifest(kind, `n${i}`, spec as object));
          const text = many(...trees.map((one) => JSON.stringify(one)), ...specs);
          const before = read(many(underlay({}, 'n0'), passthrough(four, 'n0')));
          const result = read(text, { good: before.good });
          for (const { where } of result.problems) expect(where.line).toBeGreaterThan(0);
          readNodeFile({ file: 'n.yaml', text: JSON.stringify(trees[0] ?? {}) });
        },
      ),
      { numRuns: 300 },
    );
  });

  test('nor does any text, however it is cut into documents', () => {
    const line = fc.constantFrom(
      ...[
        '---',
        '--- # x',
        '--- {',
        '...',
        '%YAML 1.2',
        '# x',
        '',
        'kind: Underlay',
        'a: &a [*a]',
        '<<: *a',
        '- 1',
      ],
      ...[
        'apiVersion: network.openperouter.io/v1alpha1',
        'metadata: {name: x}',
        'spec: {asn: 1}',
        'underlays:',
        '\t',
      ],
      ...['kind: List', 'items: [', ']', '  - |', '    ---', 'text: "', underlay()],
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
        const { problems, resources } = read(lines.join(end));
        for (const { where } of [...problems, ...resources]) {
          expect(where.line).toBeGreaterThan(0);
          expect(where.line).toBeLessThanOrEqual(Math.max(1, lines.length));
        }
      }),
      { numRuns: 500 },
    );
  });

  // Pieces that are good one by one, so that many of the wholes are.
  const pick = <T>(...values: T[]) => fc.constantFrom(...values);
  const neighbor = fc.record(
    {
      at: pick<object>(
        ...[
          { address: '192.168.11.2' },
          { address: '192.0.2.9' },
          { address: '2001:db8::2' },
          { interface: 'eth1' },
        ],
        ...[{ listenRange: '192.168.0.0/16' }, { listenRange: '2001:db8::/32' }, { address: '192.169.10.2' }],
        ...[{ address: '169.254.1.1' }, { address: '100.65.0.1' }, { interface: 'pt' }],
      ),
      as: pick<object>({ asn: 64512 }, { asn: 64514 }, { type: 'External' }, { type: 'internal' }),
      timers: pick<object>(
        {},
        { holdTimeSeconds: 0, keepaliveTimeSeconds: 0 },
        { holdTime: '3s', keepaliveTime: '3s' },
      ),
      hops: pick<object>(
        {},
        { ebgpMultiHop: true },
        { properties: [{ type: 'ebgpMultiHop', ebgpMultiHop: { ttl: 1 } }] },
      ),
      bfd: pick<object>(
        {},
        { bfd: {} },
        { bfd: { minimumTTL: 1, detectMultiplier: 255, receiveInterval: 10 } },
      ),
      more: pick<object>(
        {},
        { password: 'p'.repeat(80) },
        { passwordSecret: 's' },
        { port: 1 },
        { connectTimeSeconds: 65535 },
      ),
      families: pick<object>(
        ...[{}, { addressFamilies: [{ type: 'evpn' }] }, { addressFamilies: [{ type: 'ipv6unicast' }] }],
        { addressFamilies: [{ type: 'ipv4unicast', properties: [{ type: 'routeReflectorClient' }] }] },
      ),
    },
    { requiredKeys: ['at', 'as'] },
  );
  const spec = fc.record(
    {
      asn: pick(64514, 1, 4294967294),
      neighbors: fc.array(neighbor, { minLength: 1, maxLength: 3 }),
      interfaces: pick([nic], [nic, { type: 'NetworkDevice', networkDevice: { interfaceName: 'pt' } }]),
      routerIDCIDR: pick('10.0.0.0/24', '192.0.2.0/30', '0.0.0.0/0', '255.255.255.0/24'),
      tunnelEndpoint: pick(
        ...['100.65.0.0/24', '2001:db8::/126', '0.0.0.0/8', '192.169.10.0/24'].map((one) => ({
          cidrs: [one],
        })),
      ),
      gracefulRestart: pick({}, { restartTimeSeconds: 4095, stalePathTimeSeconds: 1 }),
      routeReflector: pick({}, { clusterID: '1.1.1.1' }),
    },
    { requiredKeys: ['asn', 'neighbors', 'interfaces'] },
  );
  const leg = fc.record({
    localCIDR: pick<object>(
      ...[
        four,
        { ipv6: 'fd00:10::/64' },
        { ipv4: '192.169.10.16/28', ipv6: 'fd00:10::/127' },
        { ipv4: '10.0.0.0/31' },
      ],
      ...[
        { ipv4: '169.254.10.0/30' },
        { ipv4: '0.0.0.0/8' },
        { ipv4: '100.64.0.0/10' },
        { ipv6: '2001:db8::/64' },
      ],
    ),
    hostASN: pick(64515, 64514),
    name: pick('pt', 'eth1', 'a.b-c', 'x'.repeat(100)),
  });

  test('what is accepted is a good configuration', () => {
    let taken = 0;
    fc.assert(
      fc.property(spec, fc.option(leg), pick(0, 1, 2, 200), (one, other, index) => {
        const { neighbors, ...rest } = one;
        const flat = neighbors.map(({ at, as, timers, hops, bfd, more, families }) => ({
          ...{ ...at, ...as, ...timers, ...hops, ...bfd, ...more, ...families },
        }));
        const texts = [underlay({ ...rest, neighbors: flat })];
        if (other !== null) {
          const hostSession = { asn: 64514, hostASN: other.hostASN, localCIDR: other.localCIDR };
          texts.push(manifest('L3Passthrough', other.name, { hostSession }));
        }
        const sources = [{ file: 'f.yaml', text: many(...texts) }];
        const { problems, openperouter, intent } = loadConfig(
          [{ file: 'leafd.yaml', text: 'passthrough: {openperouter: true}' }],
          { hostname: 'n1', openperouter: () => ({ sources, node: { ...node, index } }) },
        );
        expect(problemLines(problems)).toEqual([]);
        expect(intent).toBeDefined();
        if (openperouter!.config !== undefined) taken++;
      }),
      { numRuns: 500 },
    );
    expect(taken).toBeGreaterThan(50);
  });
});

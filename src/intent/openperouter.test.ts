// What is left out and said so, which node a resource is for, what stays in force when a later version is bad, and how
// resources are found in texts. Which are refused, and where: test/bad-config/openperouter.

import { describe, expect, test } from 'vitest';
import {
  four,
  l3vni,
  manifest,
  many,
  node,
  passthrough,
  read,
  session,
  statesOf,
  tor,
  treeOf,
  underlay,
} from '../../test/support/openperouter.ts';
import { readOpenperouter } from './openperouter.ts';

describe('left out, the rest applies', () => {
  test('kinds', () => {
    const raw = manifest('RawFRRConfig', 'raw', { rawConfig: '!' });
    const l2 = manifest('L2VNI', 'seg', { vni: 110, vrf: 'red' });
    const result = read(many(underlay(), l3vni('red', 100), l2, raw, passthrough()));
    expect(statesOf(result)).toEqual([
      'Underlay/fabric applied',
      'L3VNI/red unsupported',
      'L2VNI/seg unsupported',
      'RawFRRConfig/raw unsupported',
      'L3Passthrough/pt applied',
    ]);
    for (const { state, message } of result.resources)
      if (state === 'unsupported') expect(message).toMatch(/not supported/);
  });

  test('parts of an Underlay', () => {
    const cni = { type: 'CNIDevice', cniDevice: { type: 'RawConfig', rawConfig: { cniVersion: '1.0.0' } } };
    const isis = { baseNet: '49.0001.0002.0003.0004.00' };
    const neighbors = [{ ...tor, bfd: { echoMode: true, echoInterval: 50 } }];
    const result = read(underlay({ interfaces: [cni], isis, neighbors }));
    expect(statesOf(result)).toEqual([
      'Underlay/fabric applied',
      ...Array(3).fill('Underlay/fabric unsupported'),
    ]);
    expect(treeOf(result)).toMatchObject({ passthrough: { uplinks: [] }, bgp: { peers: [{ bfd: true }] } });
    const vtep = underlay({ evpn: { vtepInterface: 'eth9' } });
    expect(read(vtep).resources[1]).toMatchObject({ state: 'unsupported' });
  });

  test('a segment in the VRF of nobody depends on it', () => {
    const routingDomain = { type: 'L3VNI', l3vni: { name: 'red' } };
    const seg = manifest('L2VNI', 'seg', { vni: 110, routingDomain, gatewayIPs: ['192.170.1.1/24'] });
    expect(statesOf(read(seg))).toEqual(['L2VNI/seg failed DependencyFailed']);
    expect(statesOf(read(many(seg, l3vni('red', 100))))[0]).toBe('L2VNI/seg unsupported');
  });

  test('a bad resource beside good ones', () => {
    const result = read(many(passthrough({}), underlay(), l3vni('1', 0)));
    expect(statesOf(result)).toEqual([
      'L3Passthrough/pt failed ValidationFailed',
      'Underlay/fabric applied',
      'L3VNI/1 failed ValidationFailed',
    ]);
    expect(treeOf(result).bgp.asn).toBe(64514);
    expect(result.resources[0]!.message).toMatch(
      /^f\.yaml:1:\d+: L3Passthrough\/pt\.hostSession\.localCIDR: needs/,
    );
  });
});

describe('nodes', () => {
  const select = (nodeSelector: object, labels: Record<string, string>) =>
    statesOf(read(underlay({ nodeSelector }), { node: { ...node, labels } }))[0]!.split(' ')[1];
  const rule = (operator: string, values?: string[]) => ({
    matchExpressions: [{ key: 'rack', operator, ...(values === undefined ? {} : { values }) }],
  });

  test.each([
    [{}, {}, true],
    [{ matchLabels: { rack: 'r1' } }, { rack: 'r1', zone: 'a' }, true],
    [{ matchLabels: { rack: 'r1' } }, { rack: 'r2' }, false],
    [{ matchLabels: { rack: 'r1', zone: 'a' } }, { rack: 'r1' }, false],
    [{ matchLabels: { constructor: 'r1' } }, {}, false],
    [rule('In', ['r1', 'r2']), { rack: 'r2' }, true],
    [rule('In', ['r1']), {}, false],
    [rule('NotIn', ['r1']), {}, true],
    [rule('NotIn', ['r1']), { rack: 'r1' }, false],
    [rule('Exists'), { rack: '' }, true],
    [rule('Exists'), {}, false],
    [rule('DoesNotExist'), {}, true],
    [rule('DoesNotExist'), { rack: 'r1' }, false],
    [{ matchLabels: { zone: 'a' }, ...rule('Exists') }, { rack: 'r1' }, false],
  ])('%j on %j: %s', (selector, labels, isSelected) => {
    expect(select(selector, labels)).toBe(isSelected ? 'applied' : 'notSelected');
  });

  test('what is for another node takes no part', () => {
    const rack = (name: string) => ({ nodeSelector: { matchLabels: { rack: name } } });
    const text = many(underlay(rack('r1'), 'one'), underlay({ ...rack('r2'), asn: 64600 }, 'two'));
    const result = read(text, { node: { ...node, labels: { rack: 'r2' } } });
    expect(statesOf(result)).toEqual(['Underlay/one notSelected', 'Underlay/two applied']);
    expect(treeOf(result).bgp.asn).toBe(64600);
    expect(read(text).config).toBeUndefined();
  });
});

describe('the last good version', () => {
  const followed = (before: string, now: string) => {
    const first = read(before);
    expect(first.problems).toEqual([]);
    return read(now, { good: first.good });
  };

  test('stays in force when the later one is refused', () => {
    const result = followed(underlay(), underlay({ asn: 0 }));
    expect(treeOf(result).bgp.asn).toBe(64514);
    expect(statesOf(result)).toEqual(['Underlay/fabric failed ValidationFailed']);
    expect(result.resources[0]!.message).toMatch(/the last good version stays in force$/);
    expect(treeOf(read(underlay({ asn: 64600 }), { good: result.good })).bgp.asn).toBe(64600);
  });

  test('is forgotten when the resource is gone', () => {
    const result = followed(many(underlay(), passthrough()), underlay());
    expect(treeOf(result).passthrough).not.toHaveProperty('localCIDR');
    expect([...result.good.keys()]).toEqual(['Underlay/fabric']);
  });

  test('stays in force when the file is no YAML any more', () => {
    for (const broken of ['kind: {', 'underlays: {}', 'nonsense', '- 1']) {
      const result = followed(many(underlay(), passthrough()), broken);
      expect(treeOf(result).passthrough.localCIDR, broken).toEqual(four);
      expect(statesOf(result)[0]).toBe('Underlay/fabric failed ValidationFailed');
      expect(result.problems).toHaveLength(1);
      expect(treeOf(read(broken, { good: result.good }))).toEqual(treeOf(result));
    }
  });

  test('localCIDR cannot be changed, only made anew', () => {
    const change = passthrough({ ipv4: '192.169.11.0/24' });
    const result = followed(many(underlay(), passthrough()), many(underlay(), change));
    expect(result.problems).toMatchObject([
      { path: 'L3Passthrough/pt.hostSession.localCIDR.ipv4', reason: 'cannot be changed' },
    ]);
    expect(treeOf(result).passthrough.localCIDR).toEqual(four);
    const gone = read(underlay(), { good: result.good });
    const anew = read(many(underlay(), change), { good: gone.good });
    expect(treeOf(anew).passthrough.localCIDR).toEqual({ ipv4: '192.169.11.0/24' });
    const more = followed(passthrough(), passthrough({ ...four, ipv6: 'fd00:10::/64' }));
    expect(more.problems).toHaveLength(1);
    expect(followed(passthrough(), passthrough({ ipv4: '192.169.10.9/24' })).problems).toEqual([]);
  });

  test('neither can gatewayIPs, nor what a CNIDevice is made of', () => {
    const seg = (...gatewayIPs: string[]) => manifest('L2VNI', 'seg', { vni: 1, vrf: 'red', gatewayIPs });
    expect(followed(seg('192.170.1.1/24'), seg('192.170.1.2/24')).problems).toMatchObject([
      { path: 'L2VNI/seg.gatewayIPs' },
    ]);
    expect(followed(seg('192.170.1.1/24'), seg()).problems).toHaveLength(1);
    const cni = (name: string) =>
      underlay({
        interfaces: [
          { type: 'CNIDevice', cniDevice: { type: 'RawConfig', rawConfig: { name, cniVersion: '1.0.0' } } },
        ],
      });
    expect(followed(cni('a'), cni('b')).problems).toMatchObject([
      { path: 'Underlay/fabric.interfaces.0.cniDevice' },
    ]);
    expect(followed(cni('a'), cni('a')).problems).toEqual([]);
  });

  test('a new resource does not oust an old one, wherever it stands', () => {
    const result = followed(passthrough(), many(passthrough({ ipv4: '192.0.2.0/24' }, 'a'), passthrough()));
    expect(statesOf(result)).toEqual([
      'L3Passthrough/a failed ValidationFailed',
      'L3Passthrough/pt failed DependencyFailed',
    ]);
    const vnis = followed(many(l3vni('a', 1), l3vni('b', 2)), many(l3vni('a', 2), l3vni('b', 2)));
    expect(statesOf(vnis)).toEqual(['L3VNI/a failed ValidationFailed', 'L3VNI/b unsupported']);
    expect(vnis.good.get('L3VNI/a')).toMatchObject({ vni: { value: 1 } });
  });

  test('two that change places may', () => {
    const result = followed(many(l3vni('a', 1), l3vni('b', 2)), many(l3vni('a', 2), l3vni('b', 1)));
    expect(result.problems).toEqual([]);
  });
});

describe('documents', () => {
  test('lists, in lists, with and without kinds', () => {
    const item = JSON.parse(underlay());
    const bare = { metadata: item.metadata, spec: item.spec };
    for (const list of [
      { apiVersion: 'v1', kind: 'List', items: [item] },
      { apiVersion: item.apiVersion, kind: 'UnderlayList', items: [bare] },
      { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'List', items: [item] }] },
    ])
      expect(statesOf(read(JSON.stringify(list)))).toEqual(['Underlay/fabric applied']);
    expect(read('{apiVersion: v1, kind: PodList, items: [{metadata: {name: x}}]}')).toMatchObject({
      resources: [],
      problems: [],
    });
  });

  test('places count from the beginning of the file', () => {
    const text = `# begin\n---\n# of the first\n${passthrough()}\n--- # more\n\n---\n${passthrough({}, 'two')}\n...\n`;
    expect(read(text).problems[0]).toMatchObject({ where: { line: 8 } });
    expect(read(text).resources.map(({ where }) => where.line)).toEqual([4, 8]);
    expect(statesOf(read(`%YAML 1.2\n---\n${underlay()}`))).toEqual(['Underlay/fabric applied']);
    expect(statesOf(read(`${underlay()}\r\n---\r\n${passthrough()}\r\n`))).toHaveLength(2);
  });

  test('what OpenPERouter copied from a file of the host is there once', () => {
    const file = {
      file: 'openpe_u.yaml',
      text: `underlays: [${JSON.stringify(JSON.parse(underlay()).spec)}]`,
    };
    const mirror = underlay({}, 'static-n1-underlay-0', {
      labels: { 'openperouter.github.io/source': 'static' },
    });
    const sources = [{ file: 'kubernetes:per/Underlay/static-n1-underlay-0', text: mirror }];
    expect(statesOf(readOpenperouter({ sources: [...sources, file], node }))).toEqual([
      'Underlay/openpe_u.0 applied',
    ]);
    expect(statesOf(readOpenperouter({ sources, node }))).toEqual(['Underlay/static-n1-underlay-0 applied']);
  });

  test('static files are joined, their passthrough is one', () => {
    const text = `bgppassthrough: ${JSON.stringify(session())}`;
    const sources = ['a', 'b'].map((name) => ({ file: `/etc/openpe_${name}.yaml`, text }));
    expect(statesOf(readOpenperouter({ sources, node }))).toEqual([
      'L3Passthrough/passthrough failed DependencyFailed',
      'L3Passthrough/passthrough.1 failed ValidationFailed',
    ]);
  });

  test('a kind has a thousand at most, which push out no other kind', () => {
    const vnis = Array.from({ length: 1001 }, (_, i) => `{vrf: v${i}, vni: ${i + 1}}`);
    const { resources, problems } = read(
      `l3vnis: [${vnis.join(', ')}]\nbgppassthrough: ${JSON.stringify(session())}\n`,
    );
    expect(resources.map(({ kind }) => kind)).toEqual([...Array(1000).fill('L3VNI'), 'L3Passthrough']);
    expect(problems).toMatchObject([{ reason: 'is one more than 1000 of kind L3VNI' }]);
  });

  test('a file has so many documents at most', () => {
    const { problems } = read(`${'---\n{}\n'.repeat(4097)}`);
    expect(problems).toMatchObject([{ where: { line: 8193 }, reason: 'is one more than 4096 documents' }]);
  });

  test('nothing is nothing', () => {
    expect(readOpenperouter({ sources: [], node })).toMatchObject({
      config: undefined,
      resources: [],
      problems: [],
    });
    expect(read('')).toMatchObject({ config: undefined, resources: [], problems: [] });
    expect(read('---\n---\n# no\n').problems).toEqual([]);
  });
});

describe('a resource of the same name in another namespace', () => {
  const of = (namespace: string, asn: number) => ({
    file: `kubernetes:${namespace}/Underlay/fabric`,
    text: underlay({ asn }, 'fabric', { namespace }),
  });
  const asnOf = (result: ReturnType<typeof readOpenperouter>) => treeOf(result).bgp!.asn;

  test('does not take the place of the one in force, wherever it stands', () => {
    const first = readOpenperouter({ sources: [of('system', 64514)], node });
    const second = readOpenperouter({
      sources: [of('a-tenant', 1), of('system', 64514)],
      node,
      good: first.good,
    });
    expect(asnOf(second)).toBe(64514);
    expect(statesOf(second)).toEqual(['Underlay/fabric failed ValidationFailed', 'Underlay/fabric applied']);
    expect(second.problems).toMatchObject([{ where: { file: 'kubernetes:a-tenant/Underlay/fabric' } }]);
  });

  test('takes it when that is gone', () => {
    const first = readOpenperouter({ sources: [of('system', 64514)], node });
    const second = readOpenperouter({ sources: [of('a-tenant', 1)], node, good: first.good });
    expect(asnOf(second)).toBe(1);
  });
});

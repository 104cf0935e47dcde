import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { hex } from '../netlink/message.ts';
import type { NftChange } from '../netlink/nft.ts';
import {
  elementChanges,
  elementId,
  INET_TABLE,
  linkOfPortChain,
  NETDEV_TABLE,
  netdevRules,
  type OwnedElement,
  PORT_CHAIN_VERSION,
  PORT_REASONS,
  portChain,
  portChainChanges,
  portElements,
  type SharedRules,
} from './guest-rules.ts';
import {
  elementDelta,
  isOurTable,
  leftovers,
  sameSet,
  setsToReplace,
  sharedChanges,
  sharedIsThere,
  type TableFound,
  tableNotFound,
} from './guest-rules-delta.ts';
import { inetRules } from './guest-rules-guard.ts';
import type { GuestPlaneIntent } from './guest-wish.ts';

const bytes = (address: string) => parseIp(address)!;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
const intent: GuestPlaneIntent = {
  gatewayMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  gateway4: bytes('169.254.0.1'),
  gateway6: bytes('fe80::1'),
  bridges: [],
  taps: [],
  filter: true,
  reach: { tcp: [22], udp: [] },
  reserved: [],
};

/** A table as nf_tables would have it after the changes; throws where the kernel would refuse them. */
function apply(found: TableFound, changes: readonly NftChange[]): TableFound {
  for (const change of changes) {
    switch (change.kind) {
      case 'tableAdd':
        found.there = true;
        break;
      case 'chainAdd': {
        const { chain, base } = change;
        const device = base?.device;
        if (!found.chains.has(chain))
          found.chains.set(chain, {
            table: 'leafd',
            name: chain,
            base: base !== undefined,
            ...(device !== undefined && { device }),
          });
        break;
      }
      case 'chainDelete':
        if (!found.chains.delete(change.chain)) throw new Error(`no chain ${change.chain}`);
        break;
      case 'rulesFlush':
        if (!found.chains.has(change.chain)) throw new Error(`no chain ${change.chain}`);
        found.rules.delete(change.chain);
        break;
      case 'ruleAdd': {
        if (!found.chains.has(change.chain)) throw new Error(`no chain ${change.chain}`);
        for (const expression of change.expressions) {
          if ('set' in expression && !found.sets.has(expression.set))
            throw new Error(`no set ${expression.set}`);
          if ('chain' in expression && !found.chains.has(expression.chain))
            throw new Error(`no chain ${expression.chain}`);
        }
        const rules = found.rules.get(change.chain) ?? { count: 0, comment: change.comment ?? '' };
        found.rules.set(change.chain, { ...rules, count: rules.count + 1 });
        break;
      }
      case 'setAdd': {
        if (found.sets.has(change.set.name)) throw new Error(`set ${change.set.name} is there`);
        const { interval, dynamicSize, timeoutMs } = change.set;
        const flags =
          (interval ? 0x84 : 0) |
          (dynamicSize === undefined ? 0 : 0x20) |
          (timeoutMs === undefined ? 0 : 0x10);
        const type = change.set.fields.reduce((sum, field) => sum * 64 + field.type, 0);
        const length = change.set.fields.reduce((sum, field) => sum + Math.ceil(field.length / 4) * 4, 0);
        found.sets.set(change.set.name, { name: change.set.name, flags, keyType: type, keyLength: length });
        break;
      }
      case 'setDelete':
        if (!found.sets.delete(change.set)) throw new Error(`no set ${change.set}`);
        break;
      case 'elementsFlush':
      case 'elementsAdd':
        if (!found.sets.has(change.set)) throw new Error(`no set ${change.set}`);
        break;
    }
  }
  return found;
}

const tables: [string, (intent: GuestPlaneIntent) => SharedRules][] = [
  ['netdev', netdevRules],
  ['inet', inetRules],
];

describe.each(tables)('rules of table %s', (_name, rulesOf) => {
  test('are complete after the changes, and then nothing is to be done', () => {
    const shared = rulesOf(intent);
    const found = tableNotFound();
    expect(sharedIsThere(shared, found)).toBe(false);
    apply(found, sharedChanges(shared, found));
    expect(sharedIsThere(shared, found)).toBe(true);
    expect(leftovers(shared, found, new Set())).toEqual([]);
  });

  test('have the same version for the same intent only', () => {
    expect(rulesOf(intent).version).toBe(rulesOf({ ...intent }).version);
    const others = [
      { ...intent, gateway6: bytes('fe80::2') },
      { ...intent, reach: { tcp: [22], udp: [53] } },
      { ...intent, reserved: [parsePrefix('10.0.0.0/8')!] },
    ];
    const versions = new Set([intent, ...others].map((one) => rulesOf(one).version));
    expect(versions.size).toBe(rulesOf === netdevRules ? 2 : 3);
  });

  test('of another version are replaced in one batch, whatever is missing', () => {
    const older = rulesOf({ ...intent, gateway6: bytes('fe80::2'), reach: { tcp: [], udp: [] } });
    const shared = rulesOf(intent);
    fc.assert(
      fc.property(fc.subarray([...older.chains.keys()]), fc.boolean(), (gone, lost) => {
        const found = tableNotFound();
        apply(found, sharedChanges(older, found));
        for (const i of gone) {
          if (lost) found.chains.delete(older.chains[i]!.name);
          found.rules.delete(older.chains[i]!.name);
        }
        if (gone.length > 0) expect(sharedIsThere(older, found)).toBe(false);
        apply(found, sharedChanges(shared, found));
        expect(sharedIsThere(shared, found)).toBe(true);
      }),
    );
  });

  test('with a set of another layout are replaced with it', () => {
    const shared = rulesOf(intent);
    const found = tableNotFound();
    apply(found, sharedChanges(shared, found));
    const set = shared.sets[0]!;
    found.sets.set(set.name, { ...found.sets.get(set.name)!, keyLength: 60 });
    found.chains.set('older', { table: 'leafd', name: 'older', base: false });
    expect(sharedIsThere(shared, found)).toBe(false);
    expect(setsToReplace(shared, found)).toEqual([set]);
    const changes = sharedChanges(shared, found);
    expect(changes.filter((change) => change.kind === 'setDelete')).toHaveLength(1);
    expect(changes).toContainEqual({ kind: 'rulesFlush', table: shared.table, chain: 'older' });
    apply(found, changes);
    expect(sameSet(set, found.sets.get(set.name)!)).toBe(true);
    expect(sharedIsThere(shared, found)).toBe(true);
  });

  test('name each chain and set that they refer to', () => {
    const { chains, sets, elements } = rulesOf(intent);
    const names = new Set(chains.map((chain) => chain.name));
    const used = new Set(
      chains.flatMap((chain) => chain.rules.flat()).flatMap((e) => ('chain' in e ? e.chain : [])),
    );
    expect([...used].filter((name) => !names.has(name))).toEqual([]);
    // Base chains, and the one that ports jump to, are referred to by none.
    const roots = chains.filter((chain) => chain.base !== undefined || chain.name === 'guest');
    expect([...names].filter((name) => !used.has(name)).sort()).toEqual(roots.map((c) => c.name).sort());
    for (const { set } of elements) expect(sets.map(({ name }) => name)).toContain(set);
  });
});

test('every chain that ports are sent to ends in a verdict, but for those that only hear', () => {
  for (const chain of netdevRules(intent).chains) {
    if (/^hear/.test(chain.name)) {
      const kinds = new Set(chain.rules.map((rule) => rule.at(-1)!.kind));
      expect([...kinds]).toEqual([chain.name === 'heard' ? 'log' : 'goto']);
      continue;
    }
    const last = chain.rules.at(-1)!;
    expect(last).toHaveLength(1);
    expect(['goto', 'drop']).toContain(last[0]!.kind);
  }
  const names = netdevRules(intent).chains.map((chain) => chain.name);
  for (const reason of PORT_REASONS) expect(names).toContain(`drop-${reason}`);
});

test('a frame is heard before anything is asked of it, also where nothing is', () => {
  for (const filter of [true, false]) {
    const { chains } = netdevRules({ ...intent, filter });
    expect(chains[0]!.rules[0]).toEqual([{ kind: 'jump', chain: 'hear' }]);
    expect(chains.map(({ name }) => name).includes('drop-otherMac')).toBe(filter);
    if (!filter) expect(chains[0]!.rules[1]).toEqual([{ kind: 'accept' }]);
  }
});

test('what leafd does not know in its table is left over', () => {
  const shared = netdevRules(intent);
  const found = tableNotFound();
  apply(found, [...sharedChanges(shared, found), ...portChainChanges('tap1'), ...portChainChanges('tap2')]);
  apply(found, [
    { kind: 'chainAdd', table: NETDEV_TABLE, chain: 'older' },
    {
      kind: 'setAdd',
      table: NETDEV_TABLE,
      set: { name: 'old', fields: [{ type: 7, length: 4 }] },
    },
  ]);
  const changes = leftovers(shared, found, new Set(['tap2']));
  expect(changes.map((change) => JSON.stringify({ ...change, table: undefined })).sort()).toEqual([
    '{"kind":"chainDelete","chain":"older"}',
    '{"kind":"chainDelete","chain":"port-tap1"}',
    '{"kind":"rulesFlush","chain":"older"}',
    '{"kind":"rulesFlush","chain":"port-tap1"}',
    '{"kind":"setDelete","set":"old"}',
  ]);
  apply(found, changes);
  expect(leftovers(shared, found, new Set(['tap2']))).toEqual([]);
  expect(found.rules.get(portChain('tap2'))).toEqual({ count: 1, comment: PORT_CHAIN_VERSION });
  expect(linkOfPortChain(portChain('tap2'))).toBe('tap2');
  expect(linkOfPortChain('guest')).toBeUndefined();
});

test('a port has its MACs, its addresses, and who may speak ARP for them', () => {
  const port = {
    ifindex: 0x102,
    name: 'tap1',
    gatewayIfindex: 3,
    macs: [MAC],
    addresses: ['192.0.2.1', '2001:db8::1'].map((text) => ({ address: bytes(text), mac: MAC })),
  };
  const mac = '020000000009';
  expect(portElements(port).map(({ set, key }) => `${set} ${hex(key)}`)).toEqual([
    `macs 02010000${mac}0000`,
    `arp 02010000${mac}0000${mac}000000000000`,
    `ip4 02010000${mac}0000c0000201`,
    `arp 02010000${mac}0000${mac}0000c0000201`,
    `ip6 02010000${mac}000020010db8000000000000000000000001`,
  ]);
  const changes = elementChanges('elementsAdd', portElements(port));
  expect(changes.map((change) => ('set' in change ? change.set : ''))).toEqual(['macs', 'arp', 'ip4', 'ip6']);
});

test('reserved prefixes become ranges that do not overlap', () => {
  const texts = [
    '10.0.0.0/8',
    '10.1.0.0/16',
    '192.0.2.1/32',
    '10.0.0.0/8',
    '2001:db8::/32',
    '2001:db8:1::/48',
  ];
  const { elements } = inetRules({ ...intent, reserved: texts.map((text) => parsePrefix(text)!) });
  const ranges = (name: string) =>
    elements
      .find(({ set }) => set === name)!
      .elements.filter(({ key }) => hex(key).endsWith('1100000012b50000'))
      .map(({ key, keyEnd }) => `${hex(key.slice(0, -8))}-${hex(keyEnd!.slice(0, -8))}`);
  expect(ranges('reserved4')).toEqual(['0a000000-0affffff', 'c0000201-c0000201']);
  expect(ranges('reserved6')).toEqual(['20010db8000000000000000000000000-20010db8ffffffffffffffffffffffff']);
  // BGP and the API, BFD's three ports, VXLAN.
  expect(elements.find(({ set }) => set === 'reserved4')!.elements).toHaveLength(12);
});

test('the difference of elements makes the one into the other', () => {
  const element = fc
    .tuple(fc.constantFrom('macs', 'ip4'), fc.nat(20))
    .map(([set, n]): OwnedElement => ({ table: NETDEV_TABLE, set, key: Uint8Array.of(n, 0, 0, 0) }));
  const map = fc.array(element).map((all) => new Map(all.map((one) => [elementId(one), one])));
  fc.assert(
    fc.property(map, fc.option(map, { nil: undefined }), (wanted, there) => {
      const { add, remove } = elementDelta(wanted, there);
      const after = new Map(there);
      for (const one of remove) expect(after.delete(elementId(one))).toBe(true);
      for (const one of add) {
        expect(after.has(elementId(one))).toBe(false);
        after.set(elementId(one), one);
      }
      expect([...after.keys()].sort()).toEqual([...wanted.keys()].sort());
    }),
  );
});

test('tables of ours are told from others', () => {
  const tables = [NETDEV_TABLE, INET_TABLE];
  expect(isOurTable(5, 'leafd', tables)).toBe(true);
  expect(isOurTable(1, 'leafd', tables)).toBe(true);
  expect(isOurTable(2, 'leafd', tables)).toBe(false);
  expect(isOurTable(1, 'filter', tables)).toBe(false);
});

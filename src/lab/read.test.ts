// Lab files: what they come to, and what an operator is told of a wrong one, with its place.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mergeTree, parseLab, readLabFile } from './read.ts';
import { cableAt, expectedSessions, formatEnd, movedLinks, nodeNamed } from './topology.ts';

const parse = (text: string) => parseLab(text, 'a.lab.yaml', '/nowhere/a.lab.yaml');
const node = (text: string, name: string) => nodeNamed(parse(text), name)!;

describe('the generator', () => {
  const clos = 'name: c\nclos: {spines: 2, leaves: 3, hostsPerLeaf: 2}\n';

  it('makes every node and cable of a Clos', () => {
    const topology = parse(clos);
    expect(topology.nodes.map((one) => one.name).join(' ')).toBe(
      'spine1 spine2 leaf1 leaf2 leaf3 h1 h2 h3 h4 h5 h6',
    );
    expect(topology.links).toHaveLength(2 * 3 + 6);
    expect(cableAt(topology.links, { node: 'spine2', port: 'eth3' })?.far).toEqual({
      node: 'leaf3',
      port: 'eth2',
    });
    expect(cableAt(topology.links, { node: 'h5', port: 'eth0' })?.far).toEqual({
      node: 'leaf3',
      port: 'vm1',
    });
    expect(nodeNamed(topology, 'h5')?.addresses).toEqual(['198.18.3.1/32', '2001:db8:100:3::1/128']);
  });

  it('numbers the ASes as RFC 7938 does, or gives each spine its own, or all the same', () => {
    const asns = (options: string) =>
      parse(`name: c\nclos: {spines: 2, leaves: 2${options}}\n`)
        .nodes.filter((one) => one.kind !== 'host')
        .map((one) => one.asn);
    expect(asns('')).toEqual([65001, 65001, 65101, 65102]);
    expect(asns(', spineAsn: own')).toEqual([65001, 65002, 65101, 65102]);
    expect(asns(', scheme: ibgp')).toEqual([65000, 65000, 65000, 65000]);
  });

  it('makes iBGP spines reflect with themselves as next hop, and leaves not', () => {
    const text = 'name: c\nclos: {spines: 1, leaves: 1, scheme: ibgp}\n';
    expect(node(text, 'spine1').config).toContain('routeReflectorClient: true');
    expect(node(text, 'spine1').config).toContain('nextHopSelf: true');
    expect(node(text, 'leaf1').config).not.toContain('routeReflectorClient');
  });

  it('lets the file lay its own keys over a generated router, and change its kind', () => {
    const text = `${clos}nodes:\n  leaf1: {config: {bgp: {multipath: 4}}}\n  leaf2: {kind: frr}\n`;
    expect(node(text, 'leaf1').config).toMatch(/multipath: 4/);
    expect(node(text, 'leaf1').config).toMatch(/asn: 65101/);
    expect(node(text, 'leaf2').config).toMatch(/^router bgp 65102$/m);
    expect(node(text, 'leaf2').addresses).toEqual(['10.255.1.2/32', '2001:db8:ffff:1::2/128']);
  });
});

describe('defaults', () => {
  const text = [
    'name: d',
    'defaults: {leafd: {bgp: {profile: host, peers: [{interface: "eth*"}]}}}',
    'nodes:',
    '  a: {config: {bgp: {asn: 65001, routerId: 10.0.0.1}}}',
    '  b: {config: {bgp: {asn: 65002, routerId: 10.0.0.2, profile: fabric}}}',
    '  c: {kind: host}',
    'links: [[a:eth1, b:eth1], [b:eth2, c:eth0]]',
  ].join('\n');

  it('are under every leafd node, and a host profile does not forward', () => {
    expect(node(text, 'a')).toMatchObject({ asn: 65001, forwarding: false });
    expect(node(text, 'b')).toMatchObject({ asn: 65002, forwarding: true });
    expect(node(text, 'a').config).toContain('interface: eth*');
    expect(node(text, 'c')).toMatchObject({ kind: 'host', config: '', forwarding: false });
  });

  it('merge maps and replace anything else', () => {
    expect(mergeTree({ a: { b: 1, c: [1] } }, { a: { c: [2], d: 3 } })).toEqual({
      a: { b: 1, c: [2], d: 3 },
    });
  });

  it('count a session for each cable between speakers', () => {
    const topology = parse(text);
    const expected = topology.nodes.map((one) => expectedSessions(topology, topology.links, one));
    expect(expected).toEqual([1, 1, 0]);
  });
});

describe('the examples', () => {
  const directory = fileURLToPath(new URL('../../examples/', import.meta.url));
  const files = readdirSync(directory).filter((name) => name.endsWith('.lab.yaml'));

  it('are all there', () => expect(files.length).toBeGreaterThanOrEqual(5));

  for (const file of files) {
    it(`${file} is right, and named like its file`, () => {
      const topology = readLabFile(directory + file);
      expect(`${topology.name}.lab.yaml`).toBe(file);
      let links = topology.links;
      for (const { from, to } of Object.values(topology.moves).flat()) links = movedLinks(links, from, to);
      const cabled = new Set(links.flatMap(({ a, b }) => [a.node, b.node]));
      const loose = topology.nodes.filter((one) => !cabled.has(one.in ?? one.name) && one.kind !== 'guest');
      expect(loose).toEqual([]);
    });
  }
});

describe('moves', () => {
  it('keep the near end, and drop what was plugged into either', () => {
    const links = parse(
      'name: m\nnodes: {a: {kind: host}, b: {kind: host}, c: {kind: host}, d: {kind: host}}\n' +
        'links: [[a:e1, b:e1], [c:e1, d:e1]]\n',
    ).links;
    const moved = movedLinks(links, { node: 'a', port: 'e1' }, { node: 'c', port: 'e1' });
    expect(moved.map(({ a, b }) => `${formatEnd(a)} ${formatEnd(b)}`)).toEqual(['a:e1 c:e1']);
    expect(movedLinks(links, { node: 'a', port: 'e2' }, { node: 'd', port: 'e2' })).toHaveLength(3);
  });
});

describe('a wrong file is told with its place', () => {
  const cases: [title: string, text: string, line: number, column: number, message: RegExp, hint?: RegExp][] =
    [
      ['missing name', 'clos: {spines: 1, leaves: 1}\n', 1, 1, /^name: is required/],
      ['too few spines', 'name: a\nclos: {spines: 0, leaves: 1}\n', 2, 16, /clos.spines: must be at least 1/],
      [
        'unknown key',
        'name: a\nclos: {spine: 1, spines: 1, leaves: 1}\n',
        2,
        8,
        /not a known key/,
        /"spines"/,
      ],
      ['unknown kind', 'name: a\nnodes:\n  r: {kind: fr}\n', 3, 13, /kind: must be one of/, /"frr"/],
      ['no configuration', 'name: a\nnodes:\n  r: {kind: bird}\n', 3, 6, /needs config or configFile/],
      [
        'a tree for FRR',
        'name: a\nnodes:\n  r: {kind: frr, config: {a: 1}}\n',
        3,
        26,
        /is the text of its file/,
      ],
      ['a host with a daemon', 'name: a\nnodes:\n  r: {kind: host, config: x}\n', 3, 6, /runs no daemon/],
      [
        'unreadable file',
        'name: a\nnodes:\n  r: {kind: frr, configFile: none.conf}\n',
        3,
        30,
        /cannot be read/,
      ],
      [
        'bare address',
        'name: a\nnodes:\n  r: {kind: host, addresses: [10.0.0.1]}\n',
        3,
        31,
        /address with its/,
        /\/32/,
      ],
      ['bad end', 'name: a\nnodes:\n  r: {kind: host}\nlinks: [[r, r:e]]\n', 4, 10, /must be NODE:PORT/],
      [
        'long port',
        'name: a\nnodes:\n  r: {kind: host}\nlinks: [[r:abcdefghijklmnop, r:e]]\n',
        4,
        10,
        /NODE:PORT/,
      ],
      [
        'three ends',
        'name: a\nnodes:\n  r: {kind: host}\nlinks: [[r:a, r:b, r:c]]\n',
        4,
        9,
        /must be two ends/,
      ],
      [
        'absent node',
        'name: a\nnodes:\n  r1: {kind: host}\nlinks: [[r1:a, r2:a]]\n',
        4,
        16,
        /no node r2/,
        /"r1"/,
      ],
      [
        'one node',
        'name: a\nnodes:\n  r: {kind: host}\nlinks: [[r:a, r:b]]\n',
        4,
        9,
        /joins a node to itself/,
      ],
      [
        'taken port',
        'name: a\nnodes: {r: {kind: host}, s: {kind: host}}\nlinks: [[r:a, s:a], [r:a, s:b]]\n',
        3,
        21,
        /cable already/,
      ],
      [
        'a move to nowhere',
        'name: a\nnodes: {r: {kind: host}}\nmoves: {x: [[r:a, z:a]]}\n',
        3,
        19,
        /no node z/,
      ],
      ['nothing', 'name: a\n', 1, 1, /has no nodes/],
      [
        'a node that leafd refuses',
        'name: a\nnodes:\n  r: {config: {bgp: {asn: 0}}}\n',
        3,
        27,
        /bgp.asn: AS 0/,
      ],
      [
        'a key in the defaults',
        'name: a\ndefaults: {leafd: {bgp: {peer: []}}}\nnodes:\n  r: {config: {bgp: {asn: 1}}}\n',
        2,
        32,
        /peer: is not a known key/,
        /"peers"/,
      ],
    ];
  for (const [title, text, line, column, message, hint] of cases) {
    it(title, () => {
      const where = { file: 'a.lab.yaml', line, column };
      const fault = (() => {
        try {
          return parse(text);
        } catch (error) {
          return error;
        }
      })();
      expect(fault).toMatchObject({ code: 'lab-invalid', where, message: expect.stringMatching(message) });
      if (hint !== undefined) expect(fault).toMatchObject({ hint: expect.stringMatching(hint) });
    });
  }
});

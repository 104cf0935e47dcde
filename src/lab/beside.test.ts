// Daemons beside a node, and router namespaces: what the file comes to, what is complained of, what is started where.

import { describe, expect, it } from 'vitest';
import { planLab } from './plan.ts';
import { parseLab } from './read.ts';
import { nameRouter } from './read-beside.ts';
import { besideLinks } from './status.ts';
import { expectedSessions, nodeNamed } from './topology.ts';

const lines = [
  'name: b',
  'nodes:',
  '  tor: {kind: frr, config: router bgp 64512}',
  '  n1: {config: {bgp: {asn: 64514, routerId: 10.0.0.1, profile: fabric}}}',
  '  n1-frr: {kind: frr, in: n1, sessions: 2, arguments: [-p, "0"], config: router bgp 64515}',
  '  n1-bird: {kind: bird, in: n1, arguments: [-R], config: "router id 10.0.0.2;", commands: [ip link set lo up]}',
];
const links = 'links: [[tor:eth1, n1:eth1]]';
const parse = (...more: string[]) => parseLab([...lines, ...more].join('\n'), 'b.yaml', '/b.yaml');
const lab = parse(links);
const plan = planLab(lab, '/run/leafd-lab/b', { leafd: '/bin/leafd' });
const planOf = (name: string) => plan.nodes.find(({ node }) => node.name === name)!;

describe('a daemon beside a node', () => {
  it('runs in its namespace, with a directory and a socket of its own, and changes nothing there', () => {
    const { netns, directory, sysctls, daemon } = planOf('n1-frr');
    expect({ netns, directory, sysctls }).toEqual({
      netns: 'b-n1',
      directory: '/run/leafd-lab/b/n1-frr',
      sysctls: [],
    });
    for (const { argv } of daemon.processes)
      expect(argv.join(' ')).toContain('--vty_socket /run/leafd-lab/b/n1-frr ');
    expect(planOf('n1').sysctls.length).toBeGreaterThan(0);
  });

  it('may have arguments of its own, by which one of them leaves the port to the other', () => {
    const bgpd = (name: string) =>
      planOf(name)
        .daemon.processes.find(({ program }) => program === 'bgpd')!
        .argv.join(' ');
    expect(bgpd('n1-frr')).toMatch(/ -p 0$/);
    expect(bgpd('tor')).not.toContain(' -p ');
    const bird = planOf('n1-bird').daemon.processes[0]!.argv;
    expect(bird.slice(-1)).toEqual(['-R']);
    expect(() => parse('  x: {kind: host, arguments: [x]}')).toThrow(/are for foreign daemons/);
  });

  it('has the sessions that its file says, and is no cable of its node', () => {
    const sessions = (name: string) => expectedSessions(lab, lab.links, nodeNamed(lab, name)!);
    expect(['tor', 'n1', 'n1-frr', 'n1-bird'].map(sessions)).toEqual([1, 1, 2, 0]);
    expect(besideLinks(lab).map(({ a, b }) => [a.node, b.node])).toEqual([
      ['n1', 'n1-frr'],
      ['n1', 'n1-bird'],
    ]);
  });

  const wrong: [title: string, line: string, column: number, message: RegExp, hint?: RegExp][] = [
    ['a node that is not there', '  x: {kind: bird, in: n2, config: y}', 23, /no node n2/, /"n1"/],
    [
      'a node that is beside another',
      '  x: {kind: bird, in: n1-frr, config: y}',
      23,
      /no namespace of its own/,
    ],
    ['itself', '  x: {kind: bird, in: x, config: y}', 23, /no namespace of its own/],
    ['leafd', '  x: {in: n1, config: {bgp: {asn: 1, routerId: 10.0.0.9}}}', 11, /is for frr, bird/],
    ['a host', '  x: {kind: host, in: n1}', 23, /is for frr, bird/],
    [
      'addresses',
      '  x: {kind: bird, in: n1, config: y, addresses: [192.0.2.1/32]}',
      49,
      /belongs to n1/,
      /nodes\.n1\.addresses/,
    ],
    ['ports', '  x: {kind: bird, in: n1, config: y, ports: {eth0: []}}', 45, /belongs to n1/],
  ];
  for (const [title, line, column, message, hint] of wrong) {
    it(`is refused with ${title}`, () => {
      const fault = (() => {
        try {
          return parse(line);
        } catch (error) {
          return error;
        }
      })();
      const where = { file: 'b.yaml', line: 7, column };
      expect(fault).toMatchObject({ code: 'lab-invalid', where, message: expect.stringMatching(message) });
      if (hint !== undefined) expect(fault).toMatchObject({ hint: expect.stringMatching(hint) });
    });
  }

  it('is refused a cable, in words that name its node', () => {
    expect(() => parse('links: [[tor:eth1, n1-frr:eth1]]')).toThrow(/n1-frr runs beside n1 and has no ports/);
  });
});

describe('the router namespace', () => {
  const passthrough =
    '{localCIDR: {ipv4: 192.169.10.0/24, ipv6: "fd00:10::/64"}, speakers: [{name: a, remoteAs: 1}]}';
  const router = (own: string, more = '') =>
    parseLab(
      `name: b\nnodes:\n  n1: {config: {bgp: {asn: 64514, routerId: 10.0.0.1}, passthrough: ${own}}}\n${more}`,
      'b.yaml',
      '/b.yaml',
    );

  it('is known of a node with passthrough, with the sessions towards its host', () => {
    const one = nodeNamed(router(passthrough), 'n1')!;
    expect(one.router).toEqual({ netns: 'b-n1-pe', hostSessions: 2 });
    expect(one.config).toMatch(/^ {2}netns: b-n1-pe$/m);
    expect(expectedSessions(router(passthrough), [], one)).toBe(2);
    expect(nodeNamed(router('{netns: mine}'), 'n1')!.router).toEqual({ netns: 'mine', hostSessions: 0 });
  });

  it('is refused the name of a node, and of another router', () => {
    expect(() => router('{}', '  n1-pe: {kind: host}\n')).toThrow(/router namespace of n1 is called b-n1-pe/);
    const other = '  n2: {config: {bgp: {asn: 1, routerId: 10.0.0.2}, passthrough: {netns: mine}}}\n';
    expect(() => router('{netns: mine}', other)).toThrow(/is called mine too/);
  });

  const named = 'bgp: {asn: 1}\npassthrough: {netns: mine}\n';
  const unnamed = 'bgp: {asn: 1}\n# why\npassthrough:\n  uplinks: [eth1]\n';

  it('is called after the node unless its configuration names it', () => {
    expect(nameRouter(named, 'b', 'n1')).toEqual({ config: named, netns: 'mine' });
    const { config, netns } = nameRouter(unnamed, 'b', 'n1');
    expect(netns).toBe('b-n1-pe');
    expect(config).toMatch(/# why\npassthrough:\n {2}uplinks: \[ eth1 \]\n {2}netns: b-n1-pe\n/);
  });
});

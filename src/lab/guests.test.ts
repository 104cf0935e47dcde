// Guests of lab files: what they come to, what is complained of and where, how they hang on a hypervisor, and that
// what they say after a migration is what leafd reads.

import { describe, expect, it } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { readFrame } from '../wire/lan/sighting.ts';
import { announcementFrames } from './announcement.ts';
import {
  bootCommands,
  bridgeCommands,
  cardCommands,
  plugCommands,
  tapCommands,
  untapCommands,
} from './guest-plan.ts';
import { planLab } from './plan.ts';
import { parseLab } from './read.ts';
import { nodeNamed } from './topology.ts';

const hypervisors = [
  'name: g',
  'nodes:',
  '  hv1: {kind: hypervisor, config: {bgp: {asn: 65101, routerId: 10.0.0.1}}}',
  '  hv2: {kind: hypervisor, bridges: [vmbr1, vmbr2], config: {bgp: {asn: 65102, routerId: 10.0.0.2, profile: host}}}',
  '  s1: {config: {bgp: {asn: 65001, routerId: 10.0.0.9, profile: host}}}',
  'guests:',
];
const parse = (...guests: string[]) => parseLab([...hypervisors, ...guests].join('\n'), 'g.yaml', '/g.yaml');

const lab = parse(
  '  web1: {on: hv1, mac: "02:00:00:00:01:30", addresses: [192.0.2.30/32, "2001:db8::30/128"]}',
  '  app1: {on: hv2, bridge: vmbr2, mode: learn, addresses: ["2001:db8::31/128"]}',
);
const web1 = nodeNamed(lab, 'web1')!;
const app1 = nodeNamed(lab, 'app1')!;

describe('the guests of a file', () => {
  it('are nodes behind bridges, each with a MAC of its own', () => {
    expect(web1.guest).toEqual({ on: 'hv1', bridge: 'vmbr1', mac: '02:00:00:00:01:30', mode: 'attach' });
    expect(app1.guest).toMatchObject({ on: 'hv2', bridge: 'vmbr2', mode: 'learn' });
    expect(app1.guest!.mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
    expect(app1.guest!.mac).not.toBe(web1.guest!.mac);
  });

  it('make their hypervisors forward, also those that are no transit, and know their bridges', () => {
    const { bridges, config, forwarding } = nodeNamed(lab, 'hv2')!;
    expect({ bridges, forwarding }).toEqual({ bridges: ['vmbr1', 'vmbr2'], forwarding: true });
    expect(config).toMatch(/guests:\n {2}bridges:\n {4}- name: vmbr1\n {4}- name: vmbr2\n/);
    expect(nodeNamed(lab, 's1')).toMatchObject({ forwarding: false });
    expect(nodeNamed(lab, 's1')!.bridges).toBeUndefined();
  });

  const wrong: [title: string, guest: string, column: number, message: RegExp][] = [
    ['a hypervisor that is not there', '  w: {on: hv3, addresses: [192.0.2.1/32]}', 11, /no hypervisor hv3/],
    ['a node that is none', '  w: {on: s1, addresses: [192.0.2.1/32]}', 11, /no hypervisor s1/],
    [
      'a bridge that is not there',
      '  w: {on: hv1, bridge: vmbr2, addresses: [192.0.2.1/32]}',
      24,
      /has no bridge/,
    ],
    ['an address that is wider', '  w: {on: hv1, addresses: [192.0.2.1/24]}', 28, /must be a host address/],
    ['a name that makes no tap', '  thirteenchars: {on: hv1, addresses: []}', 3, /at most 12/],
    ['a name that is taken', '  hv1: {on: hv1, addresses: [192.0.2.1/32]}', 8, /name of a node/],
    [
      'a group as MAC',
      '  w: {on: hv1, mac: "01:00:00:00:00:01", addresses: [192.0.2.1/32]}',
      21,
      /MAC address/,
    ],
    ['no address', '  w: {on: hv1, addresses: []}', 27, /./],
  ];
  for (const [title, guest, column, message] of wrong) {
    it(`are refused with ${title}`, () => {
      const where = { file: 'g.yaml', line: 7, column };
      const fault = (() => {
        try {
          return parse(guest);
        } catch (error) {
          return error;
        }
      })();
      expect(fault).toMatchObject({ code: 'lab-invalid', message: expect.stringMatching(message), where });
    });
  }

  it('are refused with an address of another one, and bridges anywhere but on hypervisors', () => {
    const twice = () =>
      parse('  a: {on: hv1, addresses: [192.0.2.1/32]}', '  b: {on: hv2, addresses: [192.0.2.1/32]}');
    expect(twice).toThrow(/is a's already/);
    expect(() => parseLab('name: g\nnodes: {h: {kind: host, bridges: [br0]}}', 'g', '/g')).toThrow(
      /hypervisor/,
    );
  });
});

describe('the plan of guests', () => {
  it('gives them no daemon, and duplicate detection where they are to be learned', () => {
    const plan = planLab(lab, '/run/leafd-lab/g', { leafd: '/bin/leafd' });
    const dad = (name: string) =>
      new Map(plan.nodes.find(({ node }) => node.name === name)!.sysctls).get('net/ipv6/conf/all/accept_dad');
    expect([dad('web1'), dad('app1'), dad('hv1')]).toEqual(['0', '1', '0']);
    expect(plan.nodes.find(({ node }) => node.name === 'web1')!.daemon.processes).toEqual([]);
    expect(plan.nodes.find(({ node }) => node.name === 'hv1')!.daemon.processes).toHaveLength(1);
  });

  it('puts a card between guest and taps, in a namespace of its own', () => {
    expect(bridgeCommands(lab).map(({ netns, commands }) => [netns, ...commands])).toEqual([
      ['g-hv1', 'link add vmbr1 type bridge', 'link set vmbr1 up'],
      [
        'g-hv2',
        ...['vmbr1', 'vmbr2'].flatMap((name) => [`link add ${name} type bridge`, `link set ${name} up`]),
      ],
    ]);
    expect(cardCommands('g', web1, 2000)).toEqual({
      netns: 'g-_nics',
      commands: [
        'link add web1 type bridge mcast_snooping 0',
        'link add name web1.g index 2000 type veth peer name eth0 index 2001 address 02:00:00:00:01:30 netns g-web1',
        'link set web1.g master web1 up',
        'link set web1 up',
      ],
    });
    expect(tapCommands('g', web1, 'hv2', 1, 2002)).toEqual([
      {
        netns: 'g-_nics',
        commands: [
          'link add name web1.t1 index 2002 type veth peer name tapweb1 index 2003 netns g-hv2',
          'link set web1.t1 up',
        ],
      },
      { netns: 'g-hv2', commands: ['link set tapweb1 master vmbr1 up'] },
    ]);
    expect(plugCommands('g', 'web1', 1, true).commands).toEqual([
      'link set web1.t0 nomaster',
      'link set web1.t1 master web1',
    ]);
    expect(plugCommands('g', 'web1', 0, false).commands).toEqual(['link set web1.t0 master web1']);
    expect(untapCommands('g', 'web1', 0).commands).toEqual(['link delete web1.t0']);
  });

  it('boots them with host addresses and the gateways', () => {
    expect(bootCommands('g', web1)).toEqual({
      netns: 'g-web1',
      commands: [
        'link set eth0 up',
        'addr replace 192.0.2.30/32 dev eth0',
        'addr replace 2001:db8::30/128 dev eth0 nodad',
        'route replace default via 169.254.0.1 dev eth0 onlink',
        'route replace ::/0 via fe80::1 dev eth0',
      ],
    });
    expect(bootCommands('g', app1).commands[1]).toBe('addr replace 2001:db8::31/128 dev eth0');
  });
});

it('a guest that has moved says RARP, a gratuitous ARP and unsolicited advertisements, as leafd reads them', () => {
  const mac = parseMac('02:00:00:00:01:30')!;
  const addresses = [parseIp('192.0.2.30')!, parseIp('2001:db8::30')!];
  const heard = announcementFrames(mac, addresses).map((frame) => readFrame(frame, frame.length));
  const sighting = (kind: string, address?: Uint8Array) => ({
    kind: 'sighting',
    sighting: { kind, mac, ...(address && { address }) },
  });
  expect(heard).toMatchObject([
    sighting('rarp'),
    sighting('garp', addresses[0]),
    sighting('unsolicitedNa', addresses[1]),
    sighting('unsolicitedNa'),
  ]);
});

// The plan is the lab's only knowledge of ip(8) and of the daemons' arguments: these tests read it.

import { describe, expect, it } from 'vitest';
import { programsOf, withControlSocket } from './kinds.ts';
import { cableCommands, loopbackCommands, macOf, planLab, portCommands } from './plan.ts';
import { parseLab } from './read.ts';
import { nodeKinds, nodeNamed } from './topology.ts';

const topology = parseLab(
  [
    'name: p',
    'nodes:',
    '  r1: {config: {bgp: {asn: 65001, routerId: 10.0.0.1, profile: fabric}}, ports: {eth1: [10.1.0.0/31]}}',
    '  r2: {kind: frr, config: router bgp 65002, addresses: [10.255.0.2/32]}',
    '  h1: {kind: host, addresses: [192.0.2.1/32, "2001:db8::1/128"]}',
    'links: [[r1:eth1, r2:eth1], [r2:vm1, h1:eth0]]',
  ].join('\n'),
  'p.yaml',
  '/p.yaml',
);
const plan = planLab(topology, '/run/leafd-lab/p', { leafd: '/opt/leafd/bin/leafd' });

describe('the plan', () => {
  it('starts each daemon with files of its own', () => {
    const [r1, r2, h1] = plan.nodes;
    expect(r1.daemon.processes.map((one) => one.argv.join(' '))).toEqual([
      '/opt/leafd/bin/leafd --config /run/leafd-lab/p/r1/leafd.yaml --socket /run/leafd-lab/p/r1/leafd.sock ' +
        '--state /run/leafd-lab/p/r1/state',
    ]);
    expect(r2.daemon.processes.map((one) => one.program)).toEqual(['zebra', 'bgpd']);
    for (const { argv } of r2.daemon.processes)
      expect(argv.join(' ')).toContain('--vty_socket /run/leafd-lab/p/r2 ');
    expect(r2.daemon.processes[1]!.argv.join(' ')).toMatch(
      /^\/bin\/sh -c until \[ -S "\$0" \]; .* \/run\/leafd-lab\/p\/r2\/zserv\.api \/usr\/lib\/frr\/bgpd /,
    );
    expect(r2.daemon.owner).toBe('frr');
    expect(h1.daemon).toEqual({ files: [], processes: [] });
  });

  it('forwards on routers only, and everywhere takes no addresses from advertisements', () => {
    const forwarding = plan.nodes.map((node) => new Map(node.sysctls).get('net/ipv4/ip_forward'));
    expect(forwarding).toEqual(['1', '1', '0']);
    for (const node of plan.nodes)
      expect(new Map(node.sysctls).get('net/ipv6/conf/default/accept_ra')).toBe('0');
  });

  it('names the Debian packages of what the nodes need, each program once', () => {
    expect(plan.needs.map((need) => need.debianPackage)).toEqual(['iproute2', 'frr', 'frr', 'frr']);
    for (const kind of nodeKinds)
      expect(programsOf(kind).every((need) => need.debianPackage !== '')).toBe(true);
  });

  it('cables the namespaces directly', () => {
    const command = (a: string, b: string, netns: string) =>
      `link add name ${a} type veth peer name ${b} netns ${netns}`;
    const port = (node: string, name: string, index: number) =>
      `${name} index ${index} address ${mac(node, name)}`;
    expect([...cableCommands('p', topology.links)]).toEqual([
      ['p-r1', [command(port('r1', 'eth1', 1000), port('r2', 'eth1', 1001), 'p-r2')]],
      ['p-r2', [command(port('r2', 'vm1', 1002), port('h1', 'eth0', 1003), 'p-h1')]],
    ]);
    const again = cableCommands('p', topology.links.slice(0, 1), 7).get('p-r1')!;
    expect(again[0]).toContain('eth1 index 1014 ');
    expect(loopbackCommands(topology).get('p-r2')).toEqual([
      'link set lo up',
      'addr replace 10.255.0.2/32 dev lo',
    ]);
    expect(loopbackCommands(topology).get('p-h1')).toEqual(['link set lo up']);
  });

  it('attaches a host by routes alone', () => {
    const commands = portCommands(topology, topology.links);
    expect(commands.get('p-r1')).toEqual(['link set dev eth1 up', 'addr replace 10.1.0.0/31 dev eth1']);
    expect(commands.get('p-r2')).toEqual([
      'link set dev eth1 up',
      'link set dev vm1 addrgenmode none',
      'link set dev vm1 up',
      'addr replace 169.254.0.1/32 dev vm1 scope link',
      'addr replace fe80::1/64 dev vm1 nodad',
      'route replace 192.0.2.1/32 dev vm1 proto static',
      'route replace 2001:db8::1/128 dev vm1 proto static',
    ]);
    expect(commands.get('p-h1')).toEqual([
      'link set dev eth0 up',
      'addr replace 192.0.2.1/32 dev eth0',
      'addr replace 2001:db8::1/128 dev eth0 nodad',
      'route replace default via 169.254.0.1 dev eth0 onlink',
      'route replace ::/0 via fe80::1 dev eth0',
    ]);
  });

  it('gives ports MAC addresses that are their own, local and of one station', () => {
    const seen = new Set<string>();
    for (let node = 0; node < 100; node++) {
      for (let port = 0; port < 64; port++) seen.add(macOf('p', { node: `leaf${node}`, port: `eth${port}` }));
    }
    expect(seen.size).toBe(6400);
    expect([...seen].every((address) => /^02(:[0-9a-f]{2}){5}$/.test(address))).toBe(true);
  });

  it('puts the control socket of a node into its control program', () => {
    const frr = nodeNamed(topology, 'r2')!;
    expect(withControlSocket(frr, '/d', ['vtysh', '-c', 'x'])).toEqual([
      'vtysh',
      '--vty_socket',
      '/d',
      '-c',
      'x',
    ]);
    expect(withControlSocket(frr, '/d', ['birdc'])).toEqual(['birdc']);
    const leafd = nodeNamed(topology, 'r1')!;
    expect(withControlSocket(leafd, '/d', ['leafctl', 'peers'])).toEqual([
      'leafctl',
      '-s',
      '/d/leafd.sock',
      'peers',
    ]);
    expect(withControlSocket(leafd, '/d', ['leafctl', '-s', 'x'])).toEqual(['leafctl', '-s', 'x']);
  });
});

function mac(node: string, port: string): string {
  return macOf('p', { node, port });
}

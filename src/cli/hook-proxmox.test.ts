// Configurations as Proxmox VE writes them, and what each phase of the hookscript makes of them.

import { describe, expect, test } from 'vitest';
import { proxmoxRequest, readProxmoxConfig } from './hook-proxmox.ts';

const vm = `#leafd%3A net0 192.0.2.30 2001%3Adb8%3A%3A30 allow=198.51.100.0/24,2001%3Adb8%3A1%3A%3A/64 max=4
#a web server, 100%25 ours
agent: 1
balloon: 0
boot: order=scsi0;net0
cores: 2
cpu: x86-64-v2-AES
ide2: ceph:vm-100-cloudinit,media=cdrom
ipconfig1: ip=192.0.2.31/32,gw=169.254.0.1,ip6=2001:db8::31/128,gw6=fe80::1
ipconfig2: ip=10.1.2.3/24,gw=10.1.2.1,ip6=auto
memory: 4096
meta: creation-qemu=8.1.5,ctime=1712345678
name: web1
net0: virtio=BC:24:11:2E:41:5A,bridge=vmbr1,firewall=1
net1: virtio=BC:24:11:2E:41:5B,bridge=vmbr1,queues=4,tag=120
net2: e1000=BC:24:11:2E:41:5C,bridge=vmbr0
net3: virtio=BC:24:11:2E:41:5D,bridge=vmbr1,link_down=1
ipconfig3: ip=192.0.2.33/32
numa: 0
onboot: 1
ostype: l26
parent: before
scsi0: ceph:vm-100-disk-0,discard=on,size=32G
scsihw: virtio-scsi-single
smbios1: uuid=3f0e3d2c-5d8b-4e53-9a53-6f6c6a8f7a11
sockets: 1
vmgenid: 0b1f0a44-3c6e-4a76-bd35-3b7c3e8f0f55

[before]
#leafd%3A net0 203.0.113.99
ipconfig1: ip=203.0.113.98/32
net0: virtio=BC:24:11:00:00:01,bridge=vmbr9
snaptime: 1712340000
`;

const containerNet0 = [
  'net0: name=eth0,bridge=vmbr1,firewall=1,gw=169.254.0.1,gw6=fe80::1,hwaddr=BC:24:11:8D:30:11',
  'ip=192.0.2.53/32,ip6=2001:db8::53/128,type=veth',
].join();
const container = `arch: amd64
cores: 1
description: leafd%3A net1 198.51.100.7%0Asecond line
hostname: dns1
memory: 512
${containerNet0}
net1: name=eth1,bridge=vmbr2,hwaddr=BC:24:11:8D:30:12,ip=dhcp,type=veth
net2: name=eth2,bridge=vmbr2,hwaddr=BC:24:11:8D:30:13,ip=192.0.2.54/32,type=veth
ostype: debian
rootfs: local-lvm:vm-101-disk-0,size=8G
swap: 512
unprivileged: 1
`;

const ask = (phase: string, more: object = {}) =>
  proxmoxRequest(phase, { text: vm, vmid: '100', kind: 'qemu', strict: false, ...more });

const net0 = {
  name: 'vm100-net0',
  guest: 'vm100',
  source: 'proxmox',
  port: 'fwpr100p0',
  mac: 'bc:24:11:2e:41:5a',
  bridge: 'vmbr1',
  maxAddresses: 4,
  addresses: ['192.0.2.30', '2001:db8::30'],
  allowed: ['198.51.100.0/24', '2001:db8:1::/64'],
};
const net1 = {
  name: 'vm100-net1',
  guest: 'vm100',
  source: 'proxmox',
  port: 'tap100i1',
  mac: 'bc:24:11:2e:41:5b',
  addresses: ['192.0.2.31', '2001:db8::31'],
  allowed: [],
};

describe('phases', () => {
  test('after the start its routed NICs are attached at their ports, by the current section alone', () => {
    expect(ask('post-start')).toEqual({ request: { kind: 'attach', bodies: [net0, net1] }, problems: [] });
  });

  test('a guest that comes from another node is expected, first without a port', () => {
    const expect_ = { expect: { from: 'pve2' } };
    const withoutPort = ({ port: _, ...rest }: { port: string }) => ({ ...rest, ...expect_ });
    const before = ask('pre-start', { migratedFrom: 'pve2' });
    expect(before.request).toEqual({ kind: 'attach', bodies: [withoutPort(net0), withoutPort(net1)] });
    const after = ask('post-start', { migratedFrom: 'pve2' });
    expect(after.request).toEqual({
      kind: 'attach',
      bodies: [
        { ...net0, ...expect_ },
        { ...net1, ...expect_ },
      ],
    });
  });

  test('before an ordinary start nothing is asked, but where a refusal is to prevent it', () => {
    expect(ask('pre-start').request).toEqual({ kind: 'nothing' });
    expect(ask('pre-start', { strict: true }).request).toEqual({ kind: 'attach', bodies: [net0, net1] });
  });

  test('before the stop nothing, after it whatever the guest had, and its configuration is not needed', () => {
    expect(ask('pre-stop').request).toEqual({ kind: 'nothing' });
    const { request } = ask('post-stop', { text: '' });
    const pattern = request.kind === 'detachMatching' ? request.pattern : /never/;
    expect(['vm100-net0', 'ct100-net12'].every((name) => pattern.test(name))).toBe(true);
    expect(['vm1000-net0', 'xvm100-net0', 'vm100-net0x'].some((name) => pattern.test(name))).toBe(false);
  });

  test('phases that come one day are nobody of ours', () => {
    expect(ask('post-migrate').request).toEqual({ kind: 'nothing' });
  });
});

describe('containers', () => {
  test('addresses are in netN itself, notes in an escaped description; the port is a veth', () => {
    const text = container.replace(/^net2/m, '#leafd%3A net2 off\nnet2');
    expect(readProxmoxConfig(text, '101', 'lxc')).toEqual({
      nics: [
        {
          nic: 'net0',
          mac: 'bc:24:11:8d:30:11',
          bridge: 'vmbr1',
          tagged: false,
          port: 'fwpr101p0',
          linkDown: false,
          addresses: ['192.0.2.53', '2001:db8::53'],
          allowed: [],
        },
        {
          nic: 'net1',
          mac: 'bc:24:11:8d:30:12',
          bridge: 'vmbr2',
          tagged: false,
          port: 'veth101i1',
          linkDown: false,
          addresses: ['198.51.100.7'],
          allowed: [],
        },
      ],
      problems: [],
    });
    const { request } = proxmoxRequest('post-start', { text, vmid: '101', kind: 'lxc', strict: false });
    expect(request.kind === 'attach' && request.bodies.map(({ name }) => name)).toEqual([
      'ct101-net0',
      'ct101-net1',
    ]);
  });
});

describe('what an operator may write', () => {
  test('a note about a NIC that is not there, or about none, is a problem and costs the others nothing', () => {
    const text =
      '#leafd%3A net7 192.0.2.1\n#leafd%3A 192.0.2.2\n#leafd%3A net0 192.0.2.3\nnet0: virtio=02:00:00:00:00:01';
    const { nics, problems } = readProxmoxConfig(text, '5', 'qemu');
    expect(nics.map(({ nic, addresses }) => [nic, addresses])).toEqual([['net0', ['192.0.2.3']]]);
    expect(problems).toEqual([
      'leafd: in the notes names no NIC: leafd: net0 192.0.2.30',
      'the notes name net7, which the guest does not have',
    ]);
  });

  test('an address in both places is sent once; the older form of netN has the MAC under a key', () => {
    const text =
      '#leafd%3A net0 192.0.2.3\nnet0: model=virtio,macaddr=02:00:00:00:00:0A,bridge=vmbr1\nipconfig0: ip=192.0.2.3/32';
    const { nics } = readProxmoxConfig(text, '5', 'qemu');
    expect(nics).toMatchObject([{ mac: '02:00:00:00:00:0a', addresses: ['192.0.2.3'] }]);
  });

  test('anything else is no configuration and asks nothing', () => {
    for (const text of [
      '',
      '\0\0',
      'net0',
      'net0:',
      'net0: ,,,=',
      '#%ZZ leafd: net0',
      '[snap]\nnet0: virtio=1',
    ])
      expect(readProxmoxConfig(text, '5', 'qemu').nics).toEqual([]);
  });
});

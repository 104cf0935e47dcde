// Domain XML as libvirt hands it to its qemu hook, and what each operation makes of it.

import { expect, test } from 'vitest';
import { libvirtRequest, readDomain } from './hook-libvirt.ts';

const guestElement = `<leafd:guest xmlns:leafd="https://leafd.dev/guest/1">
      <leafd:interface mac="52:54:00:AA:00:30" maxAddresses="4">
        <leafd:address>192.0.2.30</leafd:address>
        <leafd:address>2001:db8::30</leafd:address>
        <leafd:allowed>198.51.100.0/24</leafd:allowed>
      </leafd:interface>
      <leafd:interface index="1">
        <leafd:address>192.0.2.31</leafd:address>
      </leafd:interface>
    </leafd:guest>`;

/** A running domain with three NICs, of which the metadata name two. */
const domain = (metadata = guestElement, target = '<target dev="vnet4"/>'): string => `<?xml version="1.0"?>
<domain type='kvm' id='5' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web1</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
    ${metadata}
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <source file='/var/lib/libvirt/images/web1.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:aa:00:30'/>
      <source bridge='vmbr1'/>
      ${target}
      <model type='virtio'/>
      <link state='up'/>
      <alias name='net0'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:aa:00:31'/>
      <source network='routed' portid='6b2e' bridge='vmbr2'/>
      <target dev='vnet5'/>
      <model type='virtio'/>
    </interface>
    <interface type='bridge'>
      <mac address='52:54:00:aa:00:32'/>
      <source bridge='br0'/>
      <target dev='vnet6'/>
    </interface>
    <console type='pty'><source path='/dev/pts/1'/><target type='serial' port='0'/></console>
  </devices>
  <qemu:commandline><qemu:arg value='-s'/></qemu:commandline>
</domain>
`;

const net0 = {
  name: 'web1-net0',
  guest: 'web1',
  source: 'libvirt',
  port: 'vnet4',
  mac: '52:54:00:aa:00:30',
  bridge: 'vmbr1',
  maxAddresses: 4,
  addresses: ['192.0.2.30', '2001:db8::30'],
  allowed: ['198.51.100.0/24'],
};
const net1 = {
  name: 'web1-net1',
  guest: 'web1',
  source: 'libvirt',
  port: 'vnet5',
  mac: '52:54:00:aa:00:31',
  bridge: 'vmbr2',
  addresses: ['192.0.2.31'],
  allowed: [],
};

const ask = (operation: string, xml = domain(), strict = false) =>
  libvirtRequest(operation, { xml, strict }).request;
const withoutPort = ({ port: _, ...rest }: { port: string }) => rest;

test('a domain that runs is attached at its ports, and stays expected if it is', () => {
  const bodies = [net0, net1].map((body) => ({ ...body, keepExpected: true }));
  for (const operation of ['started', 'reconnect', 'attach'])
    expect(ask(operation)).toEqual({ kind: 'attach', bodies });
});

test('one that migrates to here is expected, without ports', () => {
  const bodies = [net0, net1].map((body) => ({ ...withoutPort(body), expect: {} }));
  expect(ask('migrate')).toEqual({ kind: 'attach', bodies });
});

test('before a start nothing is asked, but where a refusal is to prevent it', () => {
  for (const operation of ['prepare', 'start', 'restore'])
    expect(ask(operation)).toEqual({ kind: 'nothing' });
  const bodies = [net0, net1].map((body) => ({ ...withoutPort(body), keepExpected: true }));
  expect(ask('prepare', domain(), true)).toEqual({ kind: 'attach', bodies });
  expect(ask('start', domain(), true)).toEqual({ kind: 'nothing' });
});

test('one that has stopped is detached', () => {
  const names = ['web1-net0', 'web1-net1'];
  for (const operation of ['stopped', 'release']) expect(ask(operation)).toEqual({ kind: 'detach', names });
});

test('without metadata a domain is nobody of ours', () => {
  for (const operation of ['started', 'migrate', 'stopped'])
    expect(ask(operation, domain(''))).toEqual({ kind: 'nothing' });
});

test('the namespace counts, not its prefix', () => {
  const other = guestElement.replaceAll('leafd:', 'x:').replace('xmlns:leafd', 'xmlns:x');
  expect(ask('started', domain(other.replace('xmlns:leafd', 'xmlns:x')))).toMatchObject({ bodies: [{}, {}] });
  expect(ask('started', domain(guestElement.replace('guest/1', 'guest/9')))).toEqual({ kind: 'nothing' });
});

test('addresses right in the guest element are of the only NIC', () => {
  const direct = `<g:guest xmlns:g="https://leafd.dev/guest/1"><g:address>192.0.2.9, 192.0.2.8</g:address></g:guest>`;
  const one = domain(direct).replace(/<interface type='network'>[\s\S]*<\/interface>/, '');
  expect(ask('started', one)).toMatchObject({
    bodies: [{ name: 'web1-net0', addresses: ['192.0.2.9', '192.0.2.8'] }],
  });
  const { nics, problems } = readDomain(domain(direct));
  expect(nics.filter(({ named }) => named)).toEqual([]);
  expect(problems).toEqual([
    'the metadata name an interface, one of several, that is not told from the others',
  ]);
});

test('a NIC whose link is down, or that has neither port nor MAC, is left alone', () => {
  const down = domain().replace("<link state='up'/>", "<link state='down'/>");
  expect(ask('started', down)).toMatchObject({ bodies: [{ name: 'web1-net1' }] });
  const bare = domain(guestElement.replace('mac="52:54:00:AA:00:30"', 'index="0"'), '').replace(
    "<mac address='52:54:00:aa:00:30'/>",
    '',
  );
  expect(ask('started', bare)).toMatchObject({ bodies: [{ name: 'web1-net1' }] });
});

test('a name that leafd does not take is made one', () => {
  const named = domain().replace('<name>web1</name>', '<name>Web &amp; mail, Köln</name>');
  expect(ask('stopped', named)).toEqual({
    kind: 'detach',
    names: ['Web___mail__K_ln-net0', 'Web___mail__K_ln-net1'],
  });
});

test('the state file of a running domain is read like the domain', () => {
  const state = `<domstatus state='running' pid='77'><vcpus/>${domain().replace(/^<\?xml.*\n/, '')}</domstatus>`;
  expect(ask('started', state)).toMatchObject({ bodies: [{ name: 'web1-net0' }, { name: 'web1-net1' }] });
});

test('what is not the well-formed XML of a domain is refused with a reason', () => {
  const broken: [string, RegExp][] = [
    ['', /not that of a domain/],
    ['<network><name>x</name></network>', /not that of a domain/],
    ['<domain><devices/></domain>', /not that of a domain with a name/],
    [domain().slice(0, -20), /broken/],
    [domain().replace('</devices>', '</device>'), /broken/],
    [`${domain()}<domain/>`, /goes on/],
    [domain().replace('web1<', 'web1&nbsp;<'), /broken/],
    ['not XML at all', /broken/],
    [`<!DOCTYPE domain [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>${domain().slice(22)}`, /document type/],
    [`<domain><name>x</name>${'<a>'.repeat(100)}`, /nested too deeply/],
  ];
  for (const [xml, reason] of broken) expect(() => readDomain(xml), xml.slice(0, 60)).toThrow(reason);
});

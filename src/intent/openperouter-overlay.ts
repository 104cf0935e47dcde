// The kinds of OpenPERouter that leafd reads and judges but does not carry out: VNIs, SRv6 VPNs, texts for FRR. They
// are judged nevertheless, because a file with a mistake in them has a mistake, and because they take part in rules
// that span resources (host sessions, VNIs).

import { formatIp, parseIp, parseIp4 } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import {
  type Complain,
  type Field,
  type Fields,
  flag,
  listOf,
  mapOf,
  text,
  vrfName,
  whole,
  word,
} from './openperouter-fields.ts';
import type {
  Given,
  HostSession,
  L2VniResource,
  L3VniResource,
  L3VpnResource,
  RawFrrResource,
  ResourceHead,
} from './openperouter-model.ts';
import { readHostSession } from './openperouter-session.ts';

const VNI_MAX = 16777215;
const TARGETS_MAX = 100;

export function readL3Vni(spec: Fields, head: ResourceHead): L3VniResource | undefined {
  const { complain } = spec;
  const vrf = vrfName(spec.need('vrf'), complain);
  const vni = readVni(spec);
  const session = readVrfSession(spec);
  readTargets(spec.take('exportRTs'), complain);
  readTargets(spec.take('importRTs'), complain);
  whole(spec.take('rdAssignedNumber'), complain, 1, 65535);
  if (vrf === undefined || vni === undefined) return undefined;
  return { ...head, kind: 'L3VNI', vrf, vni, ...session };
}

function readVni(spec: Fields): Given<number> | undefined {
  whole(spec.take('vxlanPort'), spec.complain, 1, 65535);
  word(spec.take('underlayAddressFamily'), spec.complain, ['IPv4', 'IPv6']);
  return whole(spec.need('vni'), spec.complain, 1, VNI_MAX);
}

/** The session of a VRF, which runs under an AS of its own: to be iBGP it says so by hostType. */
function readVrfSession(spec: Fields): { hostSession?: HostSession } {
  const field = spec.take('hostSession');
  const hostSession = readHostSession(field, spec.complain);
  if (hostSession === undefined) return {};
  const { remote, asn } = hostSession;
  if (remote.kind === 'asn' && remote.asn.value === asn.value)
    spec.complain(
      remote.asn.place,
      `${field!.path}.hostASN`,
      'must not be asn',
      'for iBGP say hostType: Internal',
    );
  return { hostSession };
}

/** Route targets: `ASN:n` or `A.B.C.D:n`, six bytes in all (RFC 4360, RFC 5668). */
function readTargets(field: Field | undefined, complain: Complain): void {
  const entries = field === undefined ? [] : (listOf(field, complain, { most: TARGETS_MAX }) ?? []);
  for (const entry of entries) {
    const given = text(entry, complain);
    const fault = given === undefined ? undefined : targetFault(given.value);
    if (fault !== undefined) complain(given!.place, entry.path, fault.reason, fault.hint);
  }
}

function targetFault(target: string): { reason: string; hint?: string } | undefined {
  const parts = /^(\d{1,10}|\d{1,3}(?:\.\d{1,3}){3}):(\d{1,10})$/.exec(target);
  const isAddress = target.includes('.');
  if (parts === null || (isAddress && parseIp4(parts[1]!) === undefined))
    return { reason: 'must be a route target', hint: 'such as 65000:100 or 192.0.2.1:100' };
  const administrator = isAddress ? 0xffffffff : Number(parts[1]);
  if (administrator > 0xffffffff) return { reason: 'must have an AS number of at most 4294967295' };
  const isLong = administrator > 0xffff;
  const most = isLong ? 0xffff : 0xffffffff;
  if (Number(parts[2]) <= most) return undefined;
  const why = isAddress ? 'after an address' : isLong ? 'after a 4-byte AS number' : 'in 4 bytes';
  return { reason: `must have a number of at most ${most} ${why}` };
}

export function readL2Vni(spec: Fields, head: ResourceHead): L2VniResource | undefined {
  const vni = readVni(spec);
  readHostMaster(spec.take('hostMaster'), spec.complain);
  readTargets(spec.take('exportRTs'), spec.complain);
  readTargets(spec.take('importRTs'), spec.complain);
  const routing = readRouting(spec);
  const newer = spec.take('gatewayIPs');
  const older = spec.take('l2gatewayips');
  if (newer !== undefined && older !== undefined) spec.twice(older, newer);
  const gatewayIps = readGateways(newer ?? older, spec.complain);
  // Before generation C the VRF of an L2VNI was by default called as the resource is.
  if (newer !== undefined && gatewayIps.length > 0 && routing === undefined)
    spec.complain(newer.keyPlace, newer.path, 'needs routingDomain', 'without one the segment is not routed');
  if (vni === undefined) return undefined;
  return { ...head, kind: 'L2VNI', vni, gatewayIps, ...(routing === undefined ? {} : { routing }) };
}

/** `routingDomain`, or of generations A and B `vrf`. */
function readRouting(spec: Fields): L2VniResource['routing'] {
  const newer = spec.take('routingDomain');
  const older = spec.take('vrf');
  if (newer !== undefined && older !== undefined) spec.twice(older, newer);
  if (newer === undefined) {
    const vrf = vrfName(older, spec.complain);
    return vrf === undefined ? undefined : { kind: 'vrf', name: vrf };
  }
  const fields = mapOf(newer, spec.complain);
  if (fields === undefined) return undefined;
  const type = word(fields.need('type'), spec.complain, ['L3VNI', 'L3VPN']);
  const byKind = { L3VNI: fields.take('l3vni'), L3VPN: fields.take('l3vpn') };
  fields.finish();
  if (type === undefined) return undefined;
  const other = type.value === 'L3VNI' ? byKind.L3VPN : byKind.L3VNI;
  if (other !== undefined) spec.complain(other.keyPlace, other.path, `does not belong to type ${type.value}`);
  const wanted = byKind[type.value];
  if (wanted === undefined)
    spec.complain(fields.place, `${newer.path}.${type.value.toLowerCase()}`, 'is required');
  const reference = wanted === undefined ? undefined : mapOf(wanted, spec.complain);
  const name = text(reference?.need('name'), spec.complain);
  reference?.finish();
  return name === undefined ? undefined : { kind: type.value, name };
}

/** Addresses of the gateway with the length of their subnet, one of each family at most. */
function readGateways(field: Field | undefined, complain: Complain): Given<string>[] {
  const entries = field === undefined ? [] : (listOf(field, complain, { most: 2 }) ?? []);
  const gateways: Given<string>[] = [];
  for (const entry of entries) {
    const given = text(entry, complain);
    if (given === undefined) continue;
    const [address, length] = given.value.split('/');
    const bytes = parseIp(address!);
    if (bytes === undefined || parsePrefix(given.value) === undefined) {
      complain(given.place, entry.path, 'must be an address with its length', 'such as 192.170.1.1/24');
      continue;
    }
    const value = `${formatIp(bytes)}/${length}`;
    const isSecond = gateways.some((one) => one.value.includes(':') === value.includes(':'));
    if (isSecond)
      complain(given.place, entry.path, `is a second ${bytes.length === 4 ? 'IPv4' : 'IPv6'} address`);
    gateways.push({ value, place: given.place });
  }
  return gateways;
}

/** `{type, linuxBridge | ovsBridge: {name} | {autoCreate: true} | {lifecycle, name}}`. */
function readHostMaster(field: Field | undefined, complain: Complain): void {
  const fields = field === undefined ? undefined : mapOf(field, complain);
  if (fields === undefined) return;
  const type = word(fields.need('type'), complain, ['LinuxBridge', 'OVSBridge']);
  const bridges = { LinuxBridge: fields.take('linuxBridge'), OVSBridge: fields.take('ovsBridge') };
  fields.finish();
  if (type === undefined) return;
  const isLinux = type.value === 'LinuxBridge';
  const other = isLinux ? bridges.OVSBridge : bridges.LinuxBridge;
  if (other !== undefined) complain(other.keyPlace, other.path, `does not belong to type ${type.value}`);
  const wanted = bridges[type.value];
  if (wanted === undefined)
    complain(fields.place, `${fields.path}.${isLinux ? 'linuxBridge' : 'ovsBridge'}`, 'is required');
  else readBridge(wanted, complain);
}

function readBridge(field: Field, complain: Complain): void {
  const fields = mapOf(field, complain);
  if (fields === undefined) return;
  const nameField = fields.take('name');
  const lifecycleField = fields.take('lifecycle');
  const createField = fields.take('autoCreate');
  if (lifecycleField !== undefined && createField !== undefined) fields.twice(createField, lifecycleField);
  const name = vrfName(nameField, complain);
  const lifecycle = word(lifecycleField, complain, ['Managed', 'External']);
  const isManaged = lifecycle?.value === 'Managed' || flag(createField, complain)?.value === true;
  fields.finish();
  if (isManaged && name !== undefined)
    complain(
      name.place,
      nameField!.path,
      'excludes a bridge that is made',
      'such a bridge is called br-hs-VNI',
    );
  if (!isManaged && nameField === undefined) complain(fields.place, `${fields.path}.name`, 'is required');
}

export function readL3Vpn(spec: Fields, head: ResourceHead): L3VpnResource | undefined {
  const { complain } = spec;
  const vrf = vrfName(spec.need('vrf'), complain);
  const rdAssignedNumber = whole(spec.need('rdAssignedNumber'), complain, 1, 65535);
  const session = readVrfSession(spec);
  readTargets(spec.take('exportRTs'), complain);
  readTargets(spec.need('importRTs'), complain);
  if (vrf === undefined || rdAssignedNumber === undefined) return undefined;
  return { ...head, kind: 'L3VPN', vrf, rdAssignedNumber, ...session };
}

export function readRawFrr(spec: Fields, head: ResourceHead): RawFrrResource | undefined {
  const raw = text(spec.need('rawConfig'), spec.complain);
  whole(spec.take('priority'), spec.complain, -2147483648, 2147483647);
  return raw === undefined ? undefined : { ...head, kind: 'RawFRRConfig' };
}

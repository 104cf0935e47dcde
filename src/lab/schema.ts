// The shape of a lab file, judged by zod in the operator's words; read.ts puts lines and columns to the complaints.
// What depends on more than one key (a cable to a node that is not there) is checked in read.ts.

import { z } from 'zod';
import { duration, identifier, section, text, whole } from '../intent/scalars.ts';
import { parseIp } from '../net/ip.ts';
import { isGroupMac, parseMac } from '../net/mac.ts';
import { MAX_GUEST_NAME, nodeKinds, parseEnd } from './topology.ts';

const end = z.string().refine((value) => parseEnd(value) !== undefined, {
  error: 'must be NODE:PORT',
  params: { hint: 'such as leaf1:eth1; a port has at most 15 characters' },
});

const interfaceAddress = z.string().refine(isInterfaceAddress, {
  error: 'must be an address with its length',
  params: { hint: 'such as 192.0.2.30/32 or 2001:db8::1/64' },
});

function isInterfaceAddress(value: string): boolean {
  const [address, length, more] = value.split('/');
  const bytes = parseIp(address ?? '');
  if (bytes === undefined || length === undefined || more !== undefined) return false;
  return /^\d{1,3}$/.test(length) && Number(length) <= bytes.length * 8;
}

const labName = identifier.refine((name) => name.length <= 32, { error: 'must have at most 32 characters' });

const linkName = z.string().refine((value) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(value), {
  error: 'must be an interface name of at most 15 characters',
});

const kind = z.enum(nodeKinds, { error: `must be one of ${nodeKinds.join(', ')}` });

const configTree = z.record(z.string(), z.unknown());

const node = section({
  kind: kind.optional(),
  role: identifier.optional(),
  config: z
    .union([z.string(), configTree], { error: 'must be a map (leafd) or the text of a configuration file' })
    .optional(),
  configFile: text.min(1).optional(),
  addresses: z.array(interfaceAddress).optional(),
  ports: z.record(z.string(), z.array(interfaceAddress)).optional(),
  forwarding: z.boolean().optional(),
  sessions: whole(0, 100_000).optional(),
  commands: z.array(text.min(1)).optional(),
  afterStart: z.array(text.min(1)).optional(),
  bridges: z.array(linkName).min(1).optional(),
  in: identifier.optional(),
  arguments: z.array(text.min(1)).optional(),
});

const guestName = identifier.refine((name) => name.length <= MAX_GUEST_NAME, {
  error: `must have at most ${MAX_GUEST_NAME} characters`,
  params: { hint: 'its tap is named after it' },
});

const guestMac = z.string().refine(
  (value) => {
    const bytes = parseMac(value);
    return bytes !== undefined && !isGroupMac(bytes);
  },
  { error: 'must be the MAC address of one interface', params: { hint: 'such as 02:00:00:00:01:30' } },
);

const guest = section({
  on: identifier,
  bridge: linkName.optional(),
  addresses: z.array(interfaceAddress).min(1),
  mac: guestMac.optional(),
  mode: z.enum(['attach', 'learn'], { error: 'must be attach or learn' }).optional(),
});

const clos = section({
  spines: whole(1, 64),
  leaves: whole(1, 250),
  hostsPerLeaf: whole(0, 200).optional(),
  scheme: z.enum(['ebgp', 'ibgp'], { error: 'must be ebgp or ibgp' }).optional(),
  spineAsn: z.enum(['shared', 'own'], { error: 'must be shared or own' }).optional(),
  spineKind: z.enum(['leafd', 'frr'], { error: 'must be leafd or frr' }).optional(),
  leafKind: z.enum(['leafd', 'frr'], { error: 'must be leafd or frr' }).optional(),
  hold: duration.optional(),
  keepalive: duration.optional(),
  gracefulRestart: z.boolean().optional(),
});

const cable = z.array(end).refine((ends) => ends.length === 2, {
  error: 'must be two ends',
  params: { hint: '[leaf1:eth1, spine1:eth1]' },
});

export const labFile = section({
  name: labName,
  clos: clos.optional(),
  defaults: section({ leafd: configTree }).optional(),
  nodes: z.record(identifier, node).optional(),
  guests: z.record(guestName, guest).optional(),
  links: z.array(cable).optional(),
  moves: z.record(identifier, z.array(cable)).optional(),
});

export type LabFile = z.infer<typeof labFile>;
export type NodeFile = z.infer<typeof node>;
export type GuestFile = z.infer<typeof guest>;
export type ClosFile = z.infer<typeof clos>;

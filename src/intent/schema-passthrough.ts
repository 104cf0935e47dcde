// The `passthrough:` section of leafd.yaml. Only shapes and single values are judged here; what spans several keys (a
// NIC named twice, an address outside localCIDR) and the defaults are passthrough-resolve.ts's. `localCIDR` is spelled
// as the users of OpenPERouter know it, and like there it may have bits beyond its length.

import * as z from 'zod';
import { parseIp, sameIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { blockOf } from './guest-address.ts';
import { broadcastOf, isNetwork } from './local-cidr.ts';
import { absolutePath, duration, identifier, linkName, section, whole } from './scalars.ts';
import { speakerOptions } from './schema-peer.ts';

export const DEFAULT_NETNS = 'perouter';
export const DEFAULT_OPENPEROUTER = '/etc/openperouter';

/** What is said of a second passthrough, or of one for a VRF. */
export const ONLY_ONE = 'there is exactly one passthrough, of the default VRF';

const MAX_UPLINKS = 64;
const MAX_ADDRESSES = 16;
const MAX_SPEAKERS = 32;
const MAX_USERS = 16;

const link = linkName.refine((name) => !/[*?]/.test(name), {
  error: 'must be the name of one interface',
  params: { hint: 'patterns stand in bgp.peers only' },
});

/** An address of an interface: unicast, with the length of its network. */
const interfaceAddress = z.string().superRefine((value, context) => {
  const fault = addressFault(value);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: fault.reason, params: { hint: fault.hint } });
});

function addressFault(value: string): { reason: string; hint?: string } | undefined {
  const address = parseIp(value.split('/')[0]!);
  const network = parsePrefix(value);
  if (address === undefined || network === undefined)
    return { reason: 'must be an address with its length', hint: 'such as 192.0.2.5/24 or 2001:db8::5/64' };
  const block = blockOf(address);
  if (block !== undefined && block !== 'link-local') return { reason: `is ${block}: no interface has it` };
  if (isNetwork(network, address)) return { reason: 'is the network, not an address in it' };
  const broadcast = broadcastOf(network);
  if (broadcast === undefined || !sameIp(broadcast, address)) return undefined;
  return { reason: 'is the broadcast address of its network' };
}

const uplink = z.union(
  [
    link,
    section({
      interface: link.meta({ description: "The NIC in the host's namespace" }),
      mode: z
        .enum(['move', 'macvlan', 'vlan'])
        .meta({ default: 'move', description: 'macvlan and vlan leave the NIC where it is' })
        .optional(),
      vlan: whole(1, 4094).meta({ description: 'The tag, for mode: vlan' }).optional(),
      name: linkName
        .meta({ description: 'In the router namespace. Default: that of the interface, eth0.100 of a VLAN' })
        .optional(),
      addresses: z
        .array(interfaceAddress)
        .max(MAX_ADDRESSES)
        .meta({ description: 'Of macvlan and vlan; a NIC that moves takes its own along' })
        .optional(),
      mtu: whole(1280, 65535).optional(),
    }),
  ],
  { error: 'must be the name of an interface or {interface: eth0, mode: macvlan}' },
);

/** A pool: bits beyond its length are taken, as OpenPERouter takes them. */
const pool = (family: 'IPv4' | 'IPv6', such: string) =>
  z.string().refine((value) => parsePrefix(value)?.bytes.length === (family === 'IPv4' ? 4 : 16), {
    error: `must be an ${family} prefix`,
    params: { hint: `such as ${such}` },
  });

const address = (family: 'IPv4' | 'IPv6') =>
  z.string().refine((value) => parseIp(value)?.length === (family === 'IPv4' ? 4 : 16), {
    error: `must be an ${family} address`,
  });

const userName = z
  .string()
  .refine((name) => /^[a-z_][a-z0-9_.-]{0,31}$/i.test(name), 'must be the name of a user');

const users = z.union(
  [
    z.enum(['system', 'any']),
    z
      .array(z.union([userName, whole(0, 4_294_967_294)]))
      .min(1)
      .max(MAX_USERS),
  ],
  { error: 'must be system, any, or a list of names and uids of users' },
);

const speaker = section({
  name: identifier.meta({ description: 'Its peers are called NAME-ipv4 and NAME-ipv6, or NAME' }),
  hostAddress: section({ ipv4: address('IPv4').optional(), ipv6: address('IPv6').optional() })
    .meta({ description: 'On pt-host. Default: the address of the node, which one speaker can have' })
    .optional(),
  dualStack: z
    .boolean()
    .meta({ default: false, description: 'Both families on one session, over IPv4 if there is one' })
    .optional(),
  users: users
    .meta({ description: 'Whose process may be the speaker. Default: passthrough.users' })
    .optional(),
  ...speakerOptions,
});

const clusterName = (longest: number, what: string) =>
  z
    .string()
    .refine(
      (name) => name.length <= longest && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name),
      `must be the name of a ${what}`,
    );

const kubernetes = section({
  kubeconfig: absolutePath.meta({ description: 'Default: the service account of the pod' }).optional(),
  node: clusterName(253, 'node').meta({ description: 'Default: node.name' }).optional(),
  namespace: clusterName(63, 'namespace').meta({ description: 'Default: all' }).optional(),
});

const openperouter = section({
  directory: absolutePath
    .meta({ default: DEFAULT_OPENPEROUTER, description: 'Has node-config.yaml and configs/openpe_*.yaml' })
    .optional(),
  kubernetes: z
    .union([z.boolean(), kubernetes], { error: 'must be true, false or {kubeconfig: PATH}' })
    .meta({ description: 'Resources are watched in the Kubernetes API; true: from within the cluster' })
    .optional(),
});

export const passthroughSection = section({
  netns: identifier
    .meta({ default: DEFAULT_NETNS, description: 'The router namespace, below /run/netns' })
    .optional(),
  nodeIndex: whole(0, 65535).meta({ default: 0, description: "The node's place in localCIDR" }).optional(),
  uplinks: z
    .array(uplink)
    .max(MAX_UPLINKS)
    .meta({ description: 'NICs of the fabric in the router namespace' })
    .optional(),
  localCIDR: section({
    ipv4: pool('IPv4', '192.169.10.0/24').optional(),
    ipv6: pool('IPv6', 'fd00:10::/64').optional(),
  })
    .refine((one) => one.ipv4 !== undefined || one.ipv6 !== undefined, {
      error: 'has neither ipv4 nor ipv6',
    })
    .meta({ description: 'Addresses between the router namespace and the host; absent: no veth' })
    .optional(),
  mtu: whole(1280, 65535)
    .meta({ description: 'Of the veth. Default: that of the smallest uplink' })
    .optional(),
  speakers: z.array(speaker).max(MAX_SPEAKERS).meta({ description: 'BGP speakers of the host' }).optional(),
  users: users
    .meta({
      default: 'system',
      description: 'Whose process may be a speaker: root and uids below 1000, anybody, or root and these',
    })
    .optional(),
  confirm: duration
    .meta({
      default: '60s',
      description: 'NICs go back when no session of the fabric was up within it; 0s: they stay',
    })
    .optional(),
  awaitSpeakers: duration
    .meta({ default: '30s', description: 'After a restart End-of-RIB waits so long for the speakers' })
    .optional(),
  restoreOnStop: z
    .boolean()
    .meta({ default: false, description: 'NICs go back to the host when leafd is stopped' })
    .optional(),
  openperouter: z
    .union([z.boolean(), openperouter], { error: 'must be true, false or {directory: PATH}' })
    .meta({ description: 'Reads resources of OpenPERouter beside this section' })
    .optional(),
});

export type PassthroughConfig = z.infer<typeof passthroughSection>;
export type SpeakerConfig = NonNullable<PassthroughConfig['speakers']>[number];
export type UplinkConfig = NonNullable<PassthroughConfig['uplinks']>[number];

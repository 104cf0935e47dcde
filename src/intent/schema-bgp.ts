// The `bgp:` section of leafd.yaml. Only shapes and single values are judged here; what depends on more than one
// key is in peer-checks.ts, and defaults are filled in by peers.ts and load.ts (groups could not be merged otherwise).

import * as z from 'zod';
import {
  absolutePath,
  asn,
  duration,
  identifier,
  ip,
  ip4,
  prefix,
  remoteAs,
  section,
  text,
  whole,
} from './scalars.ts';

const timers = section({
  hold: duration
    .meta({ description: 'Hold time; 0s or 3s to 65535s. Default 90s, unnumbered 9s' })
    .optional(),
  keepalive: duration.meta({ description: 'Default: a third of the hold time' }).optional(),
  connectRetry: duration.meta({ description: 'Default 5s, unnumbered 1s' }).optional(),
});

const maxPrefix = section({
  limit: whole(1, 4_000_000_000).meta({ description: 'Prefixes accepted per family' }),
  action: z.enum(['warn', 'shutdown', 'restart']).meta({ default: 'shutdown' }).optional(),
  restartAfter: duration.meta({ default: '5m' }).optional(),
});

/** What both a peer and a group may say. */
const sessionOptions = {
  description: text.optional(),
  remoteAs: remoteAs.meta({ description: 'Who may answer. Default for interfaces: external' }).optional(),
  families: z
    .array(z.enum(['ipv4', 'ipv6']))
    .min(1)
    .meta({ description: 'Default: ipv4 and ipv6' })
    .optional(),
  password: z.string().min(1).max(80).meta({ description: 'TCP-MD5 key (RFC 2385)' }).optional(),
  passwordFile: text.min(1).meta({ description: 'A file whose first line is the TCP-MD5 key' }).optional(),
  ttlSecurity: z
    .union([z.boolean(), whole(1, 254)], {
      error: 'must be true, false, or the number of hops from 1 to 254',
    })
    .meta({ description: 'GTSM (RFC 5082); true is 1 hop' })
    .optional(),
  multihop: z
    .union([z.boolean(), whole(1, 255)], { error: 'must be true, false, or a TTL from 1 to 255' })
    .meta({ description: 'The peer is not on the link; true is TTL 64' })
    .optional(),
  passive: z.boolean().meta({ default: false }).optional(),
  localAddress: ip.optional(),
  port: whole(1, 65535).meta({ default: 179 }).optional(),
  timers: timers.optional(),
  import: identifier.meta({ description: 'Policy for received routes' }).optional(),
  export: identifier.meta({ description: 'Policy for advertised routes' }).optional(),
  maxPrefix: maxPrefix.optional(),
  maxPeers: whole(1, 100_000).meta({ default: 100, description: 'For a range: peers at once' }).optional(),
  nextHopSelf: z.boolean().meta({ default: false }).optional(),
  routeReflectorClient: z.boolean().meta({ default: false }).optional(),
  shutdown: z.boolean().meta({ default: false }).optional(),
};

const group = section(sessionOptions);

const peer = section({
  name: identifier.meta({ description: 'Default: the interface, address or range' }).optional(),
  interface: text
    .meta({ description: 'BGP unnumbered on every interface that matches; * and ? allowed' })
    .optional(),
  address: text
    .meta({ description: 'An address; a link-local one with its interface: fe80::1%eth0' })
    .optional(),
  range: prefix.meta({ description: 'Accepts connections from these addresses' }).optional(),
  group: identifier.optional(),
  ...sessionOptions,
});

const redistributeSource = z
  .union([z.boolean(), section({ policy: identifier })], { error: 'must be true, false or {policy: NAME}' })
  .optional();

export const bgpSection = section({
  asn: asn.meta({ description: 'The local AS number' }),
  routerId: ip4.meta({ description: 'Default: the first IPv4 loopback' }).optional(),
  port: whole(1, 65535).meta({ default: 179 }).optional(),
  loopbacks: z.array(prefix).meta({ description: 'Put on lo and announced: /32 and /128' }).optional(),
  networks: z.array(prefix).meta({ description: 'Announced as they are' }).optional(),
  redistribute: section({
    connected: redistributeSource,
    static: redistributeSource,
    kernel: redistributeSource,
  }).optional(),
  multipath: whole(1, 256).meta({ default: 16 }).optional(),
  multipathRelax: z.boolean().meta({ default: true }).optional(),
  gracefulRestart: z
    .union([z.boolean(), section({ restartTime: duration.optional(), stalePathTime: duration.optional() })], {
      error: 'must be true, false or {restartTime: 120s, stalePathTime: 360s}',
    })
    .optional(),
  profile: z.enum(['fabric', 'host']).optional(),
  clusterId: ip4.meta({ description: 'Default: the router id' }).optional(),
  groups: z.record(identifier, group).optional(),
  peers: z.array(peer).optional(),
});

export const apiSection = section({
  socket: absolutePath
    .refine((path) => path.length <= 107, 'must be at most 107 characters long (sun_path)')
    .meta({ default: '/run/leafd/leafd.sock' })
    .optional(),
  listen: text.meta({ description: 'Loopback address and port, read-only: 127.0.0.1:7179' }).optional(),
});

export const kernelSection = section({
  fib: z.boolean().meta({ default: true, description: 'Write best routes to the kernel' }).optional(),
  nexthopCompat: z
    .union([z.literal('auto'), z.literal(0), z.literal(1)], { error: 'must be auto, 0 or 1' })
    .meta({ default: 'auto' })
    .optional(),
  metric: whole(1, 4294967295).meta({ default: 20 }).optional(),
  table: whole(1, 4294967295)
    .refine((table) => table !== 255, "table 255 is the kernel's local table")
    .meta({ default: 254 })
    .optional(),
});

export type BgpConfig = z.infer<typeof bgpSection>;
export type PeerConfig = z.infer<typeof peer>;
export type GroupConfig = z.infer<typeof group>;

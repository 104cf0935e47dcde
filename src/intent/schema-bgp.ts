// The `bgp:` section of leafd.yaml. Only shapes and single values are judged here; what depends on more than one
// key is in peer-checks.ts, and defaults are filled in by peers.ts and load.ts (groups could not be merged otherwise).

import * as z from 'zod';
import {
  absolutePath,
  asn,
  asnItem,
  duration,
  identifier,
  ip,
  ip4,
  prefix,
  section,
  text,
  whole,
} from './scalars.ts';
import { group, peer, policyNames } from './schema-peer.ts';

const redistributeSource = z
  .union([z.boolean(), section({ policy: policyNames })], { error: 'must be true, false or {policy: NAME}' })
  .optional();

const gracefulRestart = section({
  enabled: z.boolean().meta({ default: true }).optional(),
  restartTime: duration.meta({ default: '120s' }).optional(),
  stalePathTime: duration.meta({ default: '360s' }).optional(),
  notification: z.boolean().meta({ default: true, description: 'RFC 8538' }).optional(),
  longLivedStaleTime: duration
    .meta({ description: 'RFC 9494: how long routes are kept beyond; default: not offered' })
    .optional(),
});

const confederation = section({
  id: asn.meta({ description: 'The AS that the world outside sees (RFC 5065)' }),
  members: z.array(asnItem).min(1).meta({ description: 'Member ASes and ranges, bgp.asn among them' }),
});

const staticRoute = section({
  prefix,
  via: ip.meta({ description: 'The gateway' }).optional(),
  blackhole: z.literal(true, { error: 'must be true or absent' }).optional(),
  interface: text
    .regex(/^[^\s/]{1,15}$/, 'must be an interface name')
    .meta({ description: 'Of the gateway, where its address is link-local' })
    .optional(),
  policy: policyNames
    .meta({ description: 'May set attributes of the announcement, or refuse it' })
    .optional(),
  tag: whole(0, 4294967295).meta({ default: 0, description: 'For policies to match' }).optional(),
});

const aggregate = section({
  prefix,
  summaryOnly: z
    .boolean()
    .meta({ default: false, description: 'More specific routes within it are not announced' })
    .optional(),
  policy: policyNames.optional(),
});

export const bgpSection = section({
  speaker: z
    .enum(['leafd', 'none'])
    .meta({ default: 'leafd', description: 'none: another daemon of this machine speaks BGP' })
    .optional(),
  asn: asn.meta({ description: 'The local AS number; may be left out with speaker: none' }).optional(),
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
  linkBandwidth: z
    .boolean()
    .meta({ default: false, description: 'Weights of next hops by the link bandwidth community' })
    .optional(),
  alwaysCompareMed: z.boolean().meta({ default: false }).optional(),
  missingMedWorst: z.boolean().meta({ default: false }).optional(),
  bestExternal: z.boolean().meta({ default: false }).optional(),
  distance: section({
    external: whole(1, 254).meta({ default: 20 }).optional(),
    internal: whole(1, 254).meta({ default: 200 }).optional(),
    local: whole(1, 254).meta({ default: 200 }).optional(),
  })
    .meta({ description: 'Metrics of routes in the kernel; default: kernel.metric for all' })
    .optional(),
  asSet: z
    .enum(['refuse', 'accept'])
    .meta({ default: 'refuse', description: 'Paths with an AS_SET (RFC 9774)' })
    .optional(),
  gracefulShutdown: z
    .boolean()
    .meta({ default: false, description: 'All neighbours drain from us (RFC 8326)' })
    .optional(),
  gracefulRestart: z
    .union([z.boolean(), gracefulRestart], {
      error: 'must be true, false or {restartTime: 120s, stalePathTime: 360s}',
    })
    .optional(),
  confederation: confederation.optional(),
  routes: z.array(staticRoute).meta({ description: 'Static routes' }).optional(),
  aggregates: z.array(aggregate).optional(),
  rtcDefault: z
    .boolean()
    .meta({ default: false, description: 'Asks RFC 4684 peers for every VPN route' })
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

const rpkiServer = section({
  address: text
    .min(1)
    .max(253)
    .meta({ description: 'Of the RPKI-to-Router cache: an address or a host name' }),
  port: whole(1, 65535).meta({ description: '323 by the RFC, 3323 or 8282 of common caches' }),
  refresh: duration.meta({ description: 'Default: what the cache says' }).optional(),
  retry: duration.meta({ description: 'Default: what the cache says' }).optional(),
  expire: duration.meta({ description: 'Default: what the cache says' }).optional(),
});

export const rpkiSection = section({
  servers: z.array(rpkiServer).optional(),
  file: absolutePath.meta({ description: 'JSON of Routinator or rpki-client' }).optional(),
});

export type BgpConfig = z.infer<typeof bgpSection>;
export type RpkiConfig = z.infer<typeof rpkiSection>;

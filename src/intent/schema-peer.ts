// What a peer and a group may say. Only shapes and single values are judged here: groups are merged into peers by
// peers.ts, which also fills in defaults, and what depends on several keys is judged there and in peer-options.ts.

import * as z from 'zod';
import { asn, duration, identifier, ip, prefix, remoteAs, section, text, whole } from './scalars.ts';

/** Every address family, by the names that the rest of leafd uses. */
export const familyNames = [
  'ipv4',
  'ipv6',
  'vpnv4',
  'vpnv6',
  'evpn',
  'rtc',
  'flowspec4',
  'flowspec6',
  'flowspecVpn4',
  'flowspecVpn6',
] as const;

const timers = section({
  hold: duration
    .meta({ description: 'Hold time; 0s or 3s to 65535s. Default 90s, unnumbered 9s' })
    .optional(),
  keepalive: duration.meta({ description: 'Default: a third of the hold time' }).optional(),
  connectRetry: duration.meta({ description: 'Default 5s, unnumbered 1s' }).optional(),
});

const maxPrefix = section({
  limit: whole(1, 4_000_000_000).meta({ description: 'Prefixes accepted per family' }),
  action: z
    .enum(['warn', 'drop', 'restart', 'shutdown'])
    .meta({ default: 'shutdown', description: 'drop: surplus prefixes are refused, the session stays' })
    .optional(),
  restartAfter: duration.meta({ default: '5m' }).optional(),
  warnAt: whole(1, 99).meta({ description: 'Told once from this percentage of the limit on' }).optional(),
});

const addPath = section({
  receive: z.boolean().meta({ default: false }).optional(),
  send: z
    .enum(['none', 'all', 'best'])
    .meta({ default: 'none', description: 'best: those that the decision ranks first, sendMax of them' })
    .optional(),
  sendMax: whole(1, 255)
    .meta({ description: 'Paths sent of a prefix at most. Default: 16 with best, any number with all' })
    .optional(),
  receiveMax: whole(1, 65535).meta({ description: 'Paths of a prefix wanted at most' }).optional(),
});

/** A policy's name, or several: the first that decides does. */
export const policyNames = z
  .union([identifier, z.array(identifier).min(1)], { error: "must be a policy's name or a list of names" })
  .meta({ description: 'One policy, or a chain: what the first leaves undecided goes to the next' });

const defaultOriginate = z.union([z.literal(true), section({ policy: policyNames })], {
  error: 'must be true or {policy: NAME}',
});

/** What may differ between the families of a peer. */
const familyOptions = {
  import: policyNames.optional(),
  export: policyNames.optional(),
  maxPrefix: maxPrefix.optional(),
  addPath: addPath.meta({ description: 'RFC 7911' }).optional(),
  defaultOriginate: defaultOriginate
    .meta({ description: 'Announces a default route to the peer' })
    .optional(),
};

const familyMap = section(
  Object.fromEntries(familyNames.map((name) => [name, section(familyOptions).optional()])) as Record<
    (typeof familyNames)[number],
    z.ZodOptional<ReturnType<typeof section<typeof familyOptions>>>
  >,
).refine((map) => Object.keys(map).length > 0, { error: 'must not be empty' });

const families = z.union([z.array(z.enum(familyNames)).min(1), familyMap], {
  error: 'must be a list of families or a map of them',
});

const localAs = z.union([
  asn,
  section({ asn, noPrepend: z.boolean().optional(), replaceAs: z.boolean().optional() }),
]);

const bfd = z.union(
  [
    z.boolean(),
    section({
      interval: duration.meta({ default: '300ms', description: '10ms to 60s' }).optional(),
      receive: duration.meta({ description: 'Default: interval' }).optional(),
      multiplier: whole(1, 255).meta({ default: 3 }).optional(),
      passive: z.boolean().meta({ default: false }).optional(),
      minTtl: whole(1, 255).meta({ description: 'Of a multihop session (RFC 5883)' }).optional(),
    }),
  ],
  { error: 'must be true, false or {interval: 300ms, multiplier: 3}' },
);

/** The AS numbers, names and next hops that routes are sent and taken with. */
const routeOptions = {
  localAs: localAs.meta({ description: 'Another AS that the peer knows us by' }).optional(),
  allowAsIn: whole(0, 10)
    .meta({ default: 0, description: 'How often our own AS may be in a path' })
    .optional(),
  removePrivateAs: z
    .union([z.boolean(), section({ all: z.boolean().optional(), replace: z.boolean().optional() })], {
      error: 'must be true, false or {all: true, replace: true}',
    })
    .optional(),
  asOverride: z.boolean().meta({ default: false }).optional(),
  nextHopSelf: z
    .union([z.boolean(), z.enum(['external'])], { error: 'must be true, false or external' })
    .meta({ default: false, description: 'external: only of routes from external peers' })
    .optional(),
  nextHopUnchanged: z.boolean().meta({ default: false }).optional(),
  routeReflectorClient: z.boolean().meta({ default: false }).optional(),
  routeServerClient: z.boolean().meta({ default: false, description: 'RFC 7947' }).optional(),
  enforceFirstAs: z.boolean().meta({ default: true }).optional(),
  role: z
    .enum(['provider', 'rsServer', 'rsClient', 'customer', 'peer'])
    .meta({ description: 'What we are to the peer (RFC 9234)' })
    .optional(),
  roleStrict: z.boolean().meta({ default: false, description: 'The peer has to have one' }).optional(),
  asSet: z.enum(['refuse', 'accept']).meta({ description: 'RFC 9774; default: bgp.asSet' }).optional(),
  flowspecValidation: z
    .boolean()
    .meta({ description: 'Flow rules only of whom the packets go to (RFC 9117); default: external peers' })
    .optional(),
  gracefulShutdown: z
    .boolean()
    .meta({ default: false, description: 'The peer drains from us (RFC 8326)' })
    .optional(),
  blackhole: z.boolean().meta({ default: false, description: 'Obeys BLACKHOLE (RFC 7999)' }).optional(),
  moves: z
    .boolean()
    .meta({ description: 'Believes what the peer says of guests that moved; default: internal, unnumbered' })
    .optional(),
  weight: whole(0, 65535).meta({ default: 0 }).optional(),
};

/** What both a peer and a group may say. */
const sessionOptions = {
  description: text.optional(),
  remoteAs: remoteAs.meta({ description: 'Who may answer. Default for interfaces: external' }).optional(),
  families: families.meta({ description: 'Default: ipv4 and ipv6' }).optional(),
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
  idleHold: duration
    .meta({ description: 'First pause after a failure, doubled by each further one' })
    .optional(),
  maxPeers: whole(1, 100_000).meta({ default: 100, description: 'For a range: peers at once' }).optional(),
  gracefulRestart: z
    .enum(['full', 'helper', 'off'])
    .meta({ default: 'full', description: 'Both roles of RFC 4724, the helper alone, or none' })
    .optional(),
  bfd: bfd.meta({ description: 'RFC 5880, 5881, 5882, 5883' }).optional(),
  extendedMessages: z.boolean().meta({ default: true, description: 'RFC 8654' }).optional(),
  shutdown: z.boolean().meta({ default: false }).optional(),
  shutdownText: text.min(1).meta({ description: 'Told to the peer (RFC 9003)' }).optional(),
  ...familyOptions,
  ...routeOptions,
};

export const group = section(sessionOptions);

export const peer = section({
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

const { localAddress: _ours, ...ofSpeaker } = sessionOptions;

/** What a BGP speaker of the host may say: everything but where it is found, and where from. */
export const speakerOptions = { group: identifier.optional(), ...ofSpeaker };

export type PeerConfig = z.infer<typeof peer>;
export type GroupConfig = z.infer<typeof group>;
/** What one family of a peer says. */
export type FamilyConfig = Pick<
  GroupConfig,
  'import' | 'export' | 'maxPrefix' | 'addPath' | 'defaultOriginate'
>;

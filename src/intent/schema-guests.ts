// The `guests:` section of leafd.yaml. Only shapes and single values are judged here; what spans several keys (an
// address claimed twice, or reserved) and the defaults are guests-resolve.ts's. The gateway MAC's default is a
// locally administered address (IEEE 802, the bit of value 2 in the first byte) that all hypervisors share.

import * as z from 'zod';
import { parseMac } from '../net/mac.ts';
import { parseHostAddress, whyNoMac } from './guest-address.ts';
import { absolutePath, duration, identifier, ip, linkName, prefix, section, text, whole } from './scalars.ts';
import { policyNames } from './schema-peer.ts';

export const DEFAULT_GATEWAY_MAC = '02:00:5e:00:01:79';
export const DEFAULT_LXD_SOCKET = '/var/lib/lxd/unix.socket';

/** What one `guests:` can hold; more bindings come over REST. */
const MAX_BRIDGES = 64;
const MAX_PATTERNS = 64;
const MAX_PREFIXES = 1024;
const MAX_BINDINGS = 4096;
/** Of one binding, as the table of guests takes them. */
const MAX_BOUND = 64;

const mac = z.string().superRefine((value, context) => {
  const bytes = parseMac(value);
  const reason = bytes === undefined ? 'must be a MAC address, such as 02:00:5e:00:53:01' : whyNoMac(bytes);
  if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
});

const hostAddress = z.string().superRefine((value, context) => {
  const parsed = parseHostAddress(value);
  if (!(parsed instanceof Uint8Array))
    context.addIssue({ code: 'custom', message: parsed.reason, params: { hint: parsed.hint } });
});

const prefixes = z.array(prefix).max(MAX_PREFIXES);

const bridge = section({
  name: linkName,
  create: z
    .boolean()
    .meta({ default: true, description: 'Made when absent; else taken when somebody makes it' })
    .optional(),
  isolate: z
    .boolean()
    .meta({ default: true, description: 'Its ports reach each other through the gateway only' })
    .optional(),
  allowed: prefixes.meta({ description: 'In place of guests.allowed on its ports' }).optional(),
});

const maxAddresses = whole(0, 1024);

const bind = section({
  name: identifier.meta({ description: 'Unique; for leafctl guests and detach' }),
  guest: text.min(1).max(63).meta({ description: 'The VM or container, for people' }).optional(),
  port: linkName.meta({ description: "The host's end: tap100i0" }).optional(),
  mac: mac.meta({ description: "The guest's" }).optional(),
  bridge: linkName
    .meta({ description: 'Where the MAC is looked for; default: on every bridge and tap' })
    .optional(),
  addresses: z
    .array(hostAddress)
    .max(MAX_BOUND)
    .meta({ description: 'Announced as soon as the port is there' })
    .optional(),
  allowed: z.array(prefix).max(MAX_BOUND).meta({ description: 'What may be learned beside them' }).optional(),
  maxAddresses: maxAddresses.meta({ description: 'Learned ones, in place of learn.maxAddresses' }).optional(),
});

const learn = section({
  enabled: z.boolean().meta({ default: true }).optional(),
  maxAddresses: maxAddresses.meta({ default: 8, description: 'Learned on a port at most' }).optional(),
  perSecond: whole(1, 1000).meta({ default: 10, description: 'New ones a port may bring' }).optional(),
  probeEvery: duration.meta({ default: '30s' }).optional(),
  forgetAfter: duration.meta({ default: '5m' }).optional(),
});

const moves = section({
  freshFor: duration.meta({ default: '30s' }).optional(),
  expectFor: duration.meta({ default: '1h' }).optional(),
  duplicateMoves: whole(2, 100).meta({ default: 5 }).optional(),
  duplicateWithin: duration.meta({ default: '180s' }).optional(),
  freshPreference: whole(101, 4294967295)
    .meta({ default: 200, description: 'LOCAL_PREF of a fresh move; others have 100' })
    .optional(),
});

const dhcp = section({
  enabled: z.boolean().meta({ default: true }).optional(),
  dns: z.array(ip).max(8).meta({ description: 'Name servers' }).optional(),
  domain: z
    .string()
    .refine(
      (name) =>
        name.length <= 253 && name.split('.').every((label) => /^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/.test(label)),
      'must be a domain, such as example.net',
    )
    .optional(),
  leaseTime: duration.meta({ default: '1h' }).optional(),
});

const ports = z.array(whole(1, 65535)).max(64);

export const guestsSection = section({
  gatewayMac: mac
    .meta({ default: DEFAULT_GATEWAY_MAC, description: 'The same on all hypervisors' })
    .optional(),
  gateways: z
    .array(ip)
    .min(1)
    .max(2)
    .meta({ default: ['169.254.0.1', 'fe80::1'], description: 'One of each family' })
    .optional(),
  bridges: z.array(bridge).max(MAX_BRIDGES).optional(),
  taps: z
    .array(linkName)
    .max(MAX_PATTERNS)
    .meta({ description: 'Names and patterns of links without a bridge, each its guest own' })
    .optional(),
  allowed: prefixes
    .meta({ description: 'What may be learned on ports that no binding is for; default: nothing' })
    .optional(),
  within: prefixes
    .meta({ description: 'All that hooks, drivers and the API may attach; default: what is not reserved' })
    .optional(),
  reserved: prefixes.meta({ description: "Never a guest's" }).optional(),
  bind: z.array(bind).max(MAX_BINDINGS).optional(),
  learn: learn.optional(),
  moves: moves.optional(),
  dhcp: z
    .union([z.boolean(), dhcp], { error: 'must be true, false or {dns: [192.0.2.53]}' })
    .meta({ description: 'Answers DHCPv4, DHCPv6 and router solicitations' })
    .optional(),
  reach: section({ tcp: ports.optional(), udp: ports.optional() })
    .meta({ description: "This machine's services that guests may use" })
    .optional(),
  filter: z.boolean().meta({ default: true, description: 'Filters per port' }).optional(),
  metric: whole(1, 4294967295).meta({ default: 1024 }).optional(),
  freshMetric: whole(1, 4294967295).meta({ default: 512 }).optional(),
  policy: policyNames.optional(),
  lxd: z
    .union(
      [z.boolean(), section({ socket: absolutePath.meta({ default: DEFAULT_LXD_SOCKET }).optional() })],
      {
        error: 'must be true, false or {socket: /var/lib/lxd/unix.socket}',
      },
    )
    .meta({ description: 'LXD or Incus on this machine' })
    .optional(),
});

export type GuestsConfig = z.infer<typeof guestsSection>;

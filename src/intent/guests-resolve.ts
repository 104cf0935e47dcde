// `guests:` resolved: defaults filled in, text made bytes, and everything judged that spans several keys. One address
// is one guest's: two bindings that claim it, or one that claims a gateway, an own loopback, a peer or a reserved
// prefix, are refused here instead of being told apart by chance when the guests come up.

import { formatIp, parseIp, sameIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import { type Prefix, parsePrefix, prefixContainsIp, prefixText } from '../net/prefix.ts';
import { formatDuration } from './duration.ts';
import { parseHostAddress, whyNoGuest, whyNoGuestAddress } from './guest-address.ts';
import type {
  GuestBindingIntent,
  GuestBridgeIntent,
  GuestDhcpIntent,
  GuestLearnIntent,
  GuestMovesIntent,
  GuestsIntent,
} from './guests.ts';
import type { BgpIntent, KernelIntent } from './intent.ts';
import { complain, durationOf, type Findings, unknownName } from './merged.ts';
import { matchesPattern } from './pattern.ts';
import { chainOf } from './peer-options.ts';
import { DEFAULT_GATEWAY_MAC, DEFAULT_LXD_SOCKET, type GuestsConfig } from './schema-guests.ts';
import type { Path } from './tree.ts';

/** What the rest of the configuration says that guests depend on. */
export interface AroundGuests {
  bgp: Pick<BgpIntent, 'port' | 'loopbacks' | 'peers'>;
  kernel: Pick<KernelIntent, 'fib'>;
}

const root: Path = ['guests'];

/** The intent of a `guests:` section that the schema has taken. */
export function resolveGuests(config: GuestsConfig, around: AroundGuests, findings: Findings): GuestsIntent {
  const gateways = resolveGateways(config, around, findings);
  const bridges = resolveBridges(config, findings);
  const reserved = prefixesOf(config.reserved, [...root, 'reserved'], findings, () => undefined);
  const gatewayMac = parseMac(config.gatewayMac ?? DEFAULT_GATEWAY_MAC)!;
  const aroundBindings: AroundBindings = { gatewayMac, ...gateways, bridges, reserved, around };
  const intent: GuestsIntent = {
    gatewayMac,
    ...gateways,
    bridges,
    taps: resolveTaps(config, bridges, findings),
    allowed: allowedOf(config.allowed, root, findings),
    reserved,
    bindings: resolveBindings(config, aroundBindings, findings),
    learn: resolveLearn(config, findings),
    moves: resolveMoves(config, findings),
    reach: { tcp: portsOf(config, 'tcp', around, findings), udp: portsOf(config, 'udp', around, findings) },
    filter: config.filter ?? true,
    metric: config.metric ?? 1024,
    freshMetric: config.freshMetric ?? 512,
  };
  if (config.within !== undefined)
    intent.within = prefixesOf(config.within, [...root, 'within'], findings, whyNoGuest);
  const dhcp = resolveDhcp(config, findings);
  if (dhcp !== undefined) intent.dhcp = dhcp;
  if (config.policy !== undefined) intent.policy = chainOf(config.policy);
  const { lxd } = config;
  if (lxd !== undefined && lxd !== false)
    intent.lxd = { socket: (lxd === true ? undefined : lxd.socket) ?? DEFAULT_LXD_SOCKET };
  checkWhole(config, intent, around, findings);
  return intent;
}

function checkWhole(
  config: GuestsConfig,
  intent: GuestsIntent,
  around: AroundGuests,
  findings: Findings,
): void {
  if (intent.freshMetric >= intent.metric)
    complain(
      findings,
      [...root, config.freshMetric === undefined ? 'metric' : 'freshMetric'],
      `freshMetric, ${intent.freshMetric}, must be less than metric, ${intent.metric}`,
      'of two routes the kernel and other daemons take the lower metric',
    );
  if (!around.kernel.fib)
    complain(
      findings,
      root,
      'cannot be reached with kernel.fib: false',
      'routes of guests are routes of the kernel',
    );
  if (intent.bridges.length === 0 && intent.taps.length === 0)
    findings.warnings.push({
      path: root,
      at: 'key',
      reason: 'names neither bridges nor taps: no guest is looked after',
    });
}

function resolveGateways(
  config: GuestsConfig,
  around: AroundGuests,
  findings: Findings,
): Pick<GuestsIntent, 'gateway4' | 'gateway6'> {
  const found = { gateway4: parseIp('169.254.0.1')!, gateway6: parseIp('fe80::1')! };
  const seen = new Set<number>();
  for (const [index, text] of (config.gateways ?? []).entries()) {
    const path = [...root, 'gateways', index];
    const address = parseIp(text)!;
    const family = address.length;
    const fault = whyNoGuestAddress(address);
    // A link-local gateway is the rule: it takes no address of anybody.
    if (fault !== undefined && !/link-local/.test(fault))
      complain(findings, path, fault.replace('no guest is', 'nobody is'));
    else if (around.bgp.loopbacks.some((own) => sameIp(own.bytes, address)))
      complain(findings, path, "is one of this machine's own loopbacks");
    if (seen.has(family))
      complain(
        findings,
        path,
        `is a second ${family === 4 ? 'IPv4' : 'IPv6'} gateway`,
        'there is one of each family',
      );
    seen.add(family);
    found[family === 4 ? 'gateway4' : 'gateway6'] = address;
  }
  return found;
}

function resolveBridges(config: GuestsConfig, findings: Findings): GuestBridgeIntent[] {
  const names = new Set<string>();
  return (config.bridges ?? []).map((bridge, index) => {
    const path = [...root, 'bridges', index];
    if (names.has(bridge.name)) complain(findings, [...path, 'name'], 'is the name of a bridge above');
    names.add(bridge.name);
    const resolved: GuestBridgeIntent = {
      name: bridge.name,
      create: bridge.create ?? true,
      isolate: bridge.isolate ?? true,
    };
    if (bridge.allowed !== undefined) resolved.allowed = allowedOf(bridge.allowed, path, findings);
    return resolved;
  });
}

function resolveTaps(
  config: GuestsConfig,
  bridges: readonly GuestBridgeIntent[],
  findings: Findings,
): string[] {
  const taps = config.taps ?? [];
  for (const [index, pattern] of taps.entries()) {
    const path = [...root, 'taps', index];
    const bridge = bridges.find((one) => matchesPattern(pattern, one.name));
    if (taps.indexOf(pattern) < index) complain(findings, path, 'is in the list already');
    else if (bridge !== undefined) complain(findings, path, `matches the bridge ${bridge.name}`);
    else if (matchesPattern(pattern, 'lo'))
      complain(
        findings,
        path,
        'matches other interfaces than taps, lo among them',
        'begin it with what the names of taps begin with, as in tap*',
      );
  }
  return taps;
}

/** Prefixes, each once and each one that a judge has nothing against. */
function prefixesOf(
  texts: readonly string[] | undefined,
  path: Path,
  findings: Findings,
  judge: (prefix: Prefix) => string | undefined,
): Prefix[] {
  const seen = new Set<string>();
  return (texts ?? []).map((text, index) => {
    const prefix = parsePrefix(text)!;
    const canonical = prefixText(prefix);
    const reason = seen.has(canonical) ? 'is in the list already' : judge(prefix);
    if (reason !== undefined) complain(findings, [...path, index], reason);
    seen.add(canonical);
    return prefix;
  });
}

const allowedOf = (texts: readonly string[] | undefined, owner: Path, findings: Findings): Prefix[] =>
  prefixesOf(texts, [...owner, 'allowed'], findings, whyNoGuest);

interface AroundBindings {
  gatewayMac: Uint8Array;
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  bridges: readonly GuestBridgeIntent[];
  reserved: readonly Prefix[];
  around: AroundGuests;
}

function resolveBindings(
  config: GuestsConfig,
  context: AroundBindings,
  findings: Findings,
): GuestBindingIntent[] {
  const names = new Set<string>();
  const rivals = new Rivals();
  const owners = new Map<string, string>();
  return (config.bind ?? []).map((bind, index) => {
    const path = [...root, 'bind', index];
    if (names.has(bind.name)) complain(findings, [...path, 'name'], 'is the name of a binding above');
    names.add(bind.name);
    checkPlace(bind, path, context, rivals.add(bind), findings);
    const addresses = (bind.addresses ?? []).map((text, at) => {
      const address = parseHostAddress(text) as Uint8Array;
      const here = [...path, 'addresses', at];
      const owner = owners.get(formatIp(address));
      const reason = owner === undefined ? whyTaken(address, context) : claimedBy(owner, bind.name);
      if (reason !== undefined) complain(findings, here, reason);
      owners.set(formatIp(address), owner ?? bind.name);
      return address;
    });
    return bindingOf(bind, addresses, allowedOf(bind.allowed, path, findings));
  });
}

type BindConfig = NonNullable<GuestsConfig['bind']>[number];

const claimedBy = (owner: string, name: string): string =>
  owner === name ? 'is in the list already' : `is an address of ${owner} above`;

/** Bindings so far by port and by MAC, so that thousands are not each held against each. */
class Rivals {
  readonly #byPlace = new Map<string, BindConfig[]>();

  /** Those before it that have its port or its MAC. */
  add(bind: BindConfig): BindConfig[] {
    const found: BindConfig[] = [];
    for (const place of [bind.port && `port ${bind.port}`, bind.mac && `mac ${macOf(bind)}`]) {
      if (place === undefined) continue;
      const there = this.#byPlace.get(place) ?? [];
      found.push(...there);
      this.#byPlace.set(place, [...there, bind]);
    }
    return found;
  }
}

/** Where a binding looks for its guest: a port, a MAC, or both, and nobody else's. */
function checkPlace(
  bind: BindConfig,
  path: Path,
  { bridges, gatewayMac }: AroundBindings,
  before: readonly BindConfig[],
  findings: Findings,
): void {
  const { port, bridge } = bind;
  const mac = macOf(bind);
  if (port === undefined && mac === undefined)
    complain(findings, path, 'has neither port nor mac', 'one of them tells which guest is meant');
  if (bridge !== undefined && !bridges.some((one) => one.name === bridge)) {
    const known = bridges.map((one) => one.name);
    findings.problems.push(unknownName([...path, 'bridge'], 'bridge', bridge, known));
  }
  if (mac === formatMac(gatewayMac)) complain(findings, [...path, 'mac'], 'is the MAC of the gateway');
  const rival = before.find((one) => clashOf(bind, one) !== undefined);
  if (rival === undefined) return;
  const what = clashOf(bind, rival)!;
  const hint =
    'a binding takes several addresses; a MAC may be on several bridges, each named by its binding';
  complain(findings, [...path, what], `is where ${rival.name} above is looked for`, hint);
}

const macOf = ({ mac }: BindConfig): string | undefined => mac?.toLowerCase();

/** What two bindings cannot both have. */
function clashOf(a: BindConfig, b: BindConfig): 'port' | 'mac' | undefined {
  if (a.port !== undefined && a.port === b.port) return 'port';
  if (a.mac === undefined || macOf(a) !== macOf(b)) return undefined;
  const apart = a.bridge !== undefined && b.bridge !== undefined && a.bridge !== b.bridge;
  return apart ? undefined : 'mac';
}

/** Why an address cannot be a guest's here, or undefined. */
function whyTaken(
  address: Uint8Array,
  { gateway4, gateway6, reserved, around }: AroundBindings,
): string | undefined {
  if (sameIp(address, gateway4) || sameIp(address, gateway6)) return 'is the gateway of the guests';
  const fault = whyNoGuestAddress(address);
  if (fault !== undefined) return fault;
  if (around.bgp.loopbacks.some((own) => sameIp(own.bytes, address)))
    return "is one of this machine's own loopbacks";
  const peer = around.bgp.peers.find(
    ({ where }) => where.kind === 'address' && sameIp(where.address, address),
  );
  if (peer !== undefined) return `is the address of the peer ${peer.name}`;
  const block = reserved.find((one) => prefixContainsIp(one, address));
  return block === undefined ? undefined : `is in ${prefixText(block)}, which is reserved`;
}

function bindingOf(
  bind: BindConfig,
  addresses: readonly Uint8Array[],
  allowed: readonly Prefix[],
): GuestBindingIntent {
  const binding: GuestBindingIntent = { name: bind.name, addresses, allowed };
  if (bind.guest !== undefined) binding.guest = bind.guest;
  if (bind.port !== undefined) binding.port = bind.port;
  if (bind.mac !== undefined) binding.mac = parseMac(bind.mac)!;
  if (bind.bridge !== undefined) binding.bridge = bind.bridge;
  if (bind.maxAddresses !== undefined) binding.maxAddresses = bind.maxAddresses;
  return binding;
}

function resolveLearn({ learn = {} }: GuestsConfig, findings: Findings): GuestLearnIntent {
  const path = [...root, 'learn'];
  const probeEveryMs = durationOf(learn.probeEvery, '30s', [...path, 'probeEvery'], ['1s', '1h'], findings);
  const forgetAfterMs = durationOf(learn.forgetAfter, '5m', [...path, 'forgetAfter'], ['2s', '7d'], findings);
  if (forgetAfterMs <= probeEveryMs)
    complain(
      findings,
      [...path, learn.forgetAfter === undefined ? 'probeEvery' : 'forgetAfter'],
      `forgetAfter, ${formatDuration(forgetAfterMs)}, must be longer than probeEvery, ${formatDuration(probeEveryMs)}`,
      'an address is forgotten when it did not answer',
    );
  return {
    enabled: learn.enabled ?? true,
    maxAddresses: learn.maxAddresses ?? 8,
    perSecond: learn.perSecond ?? 10,
    probeEveryMs,
    forgetAfterMs,
  };
}

function resolveMoves({ moves = {} }: GuestsConfig, findings: Findings): GuestMovesIntent {
  const path = [...root, 'moves'];
  const time = (key: 'freshFor' | 'expectFor' | 'duplicateWithin', otherwise: string, high: string): number =>
    durationOf(moves[key], otherwise, [...path, key], ['1s', high], findings);
  return {
    freshForMs: time('freshFor', '30s', '1h'),
    expectForMs: time('expectFor', '1h', '7d'),
    duplicateMoves: moves.duplicateMoves ?? 5,
    duplicateWithinMs: time('duplicateWithin', '180s', '1d'),
    freshPreference: moves.freshPreference ?? 200,
  };
}

function resolveDhcp({ dhcp }: GuestsConfig, findings: Findings): GuestDhcpIntent | undefined {
  if (dhcp === undefined || dhcp === false) return undefined;
  const given = dhcp === true ? {} : dhcp;
  const path = [...root, 'dhcp'];
  const dns = (given.dns ?? []).map((text, index) => {
    const address = parseIp(text)!;
    if (whyNoGuestAddress(address)?.includes('loopback') === true)
      complain(findings, [...path, 'dns', index], 'is the guest itself');
    else if ((given.dns ?? []).findIndex((one) => sameIp(parseIp(one)!, address)) < index)
      complain(findings, [...path, 'dns', index], 'is in the list already');
    return address;
  });
  const leaseTimeMs = durationOf(given.leaseTime, '1h', [...path, 'leaseTime'], ['60s', '365d'], findings);
  if (leaseTimeMs % 1000 !== 0) complain(findings, [...path, 'leaseTime'], 'must be whole seconds');
  if (given.enabled === false) return undefined;
  return given.domain === undefined ? { dns, leaseTimeMs } : { dns, domain: given.domain, leaseTimeMs };
}

/** What speaks for the fabric on this machine over UDP: no guest may reach it, whatever is asked for. */
const closedUdp = { 3784: 'BFD', 3785: 'BFD', 4784: 'BFD', 4789: 'VXLAN' };

function portsOf(
  { reach }: GuestsConfig,
  protocol: 'tcp' | 'udp',
  { bgp }: AroundGuests,
  findings: Findings,
): readonly number[] {
  const ports = reach?.[protocol] ?? [];
  const taken: Readonly<Record<number, string>> =
    protocol === 'tcp' ? { 179: 'BGP', [bgp.port]: 'BGP' } : closedUdp;
  for (const [index, port] of ports.entries()) {
    const path = [...root, 'reach', protocol, index];
    if (taken[port] !== undefined)
      complain(findings, path, `is the port of ${taken[port]}, which guests never reach`);
    else if (ports.indexOf(port) < index) complain(findings, path, 'is in the list already');
  }
  return ports;
}

// From what the operator wants to what the router is told: names of policies become compiled policies, secrets
// become keys, and the kinds of peers take the router's form. Pure; an unknown policy name cannot occur, because
// the intent has been checked.

import type {
  BgpIntent,
  FamilyIntent,
  Intent,
  PeerFamily,
  PeerIntent,
  PolicyChain,
  RedistributeSource,
} from '../intent/intent.ts';
import { assert } from '../lib/assert.ts';
import { compilePolicies, policyChain } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import { familyByName } from '../wire/bgp/family.ts';
import type { FamilySettings, PeerConfig, PeerSettings, RedistributeRule, RouterConfig } from './config.ts';

/** The compiled form of what the operator names. */
type Named = (chain: PolicyChain) => CompiledPolicy;

/**
 * The router's configuration. `policies` are those of an earlier intent with the same definitions, so that a reload
 * that changes none of them judges no route again. Throws LeafdError when a policy cannot be compiled.
 */
export function routerConfigOf(
  intent: Intent,
  policies: ReadonlyMap<string, CompiledPolicy> = compilePolicies(intent.policies),
): RouterConfig {
  const { bgp } = intent;
  const named: Named = (chain) => policyChain(policies, chain, 'bgp');
  const rule = (source: RedistributeSource) => ruleOf(source, named);
  const { connected, static: fromStatic, kernel } = bgp.redistribute;
  return {
    nodeName: intent.node.name,
    asn: bgp.asn,
    bgpId: bgp.routerId,
    clusterId: bgp.clusterId,
    profile: bgp.profile ?? 'none',
    networks: [...bgp.loopbacks, ...bgp.networks],
    redistribute: {
      ...(connected && { connected: rule(connected) }),
      ...(fromStatic && { static: rule(fromStatic) }),
      ...(kernel && { kernel: rule(kernel) }),
    },
    multipath: bgp.multipath,
    multipathRelax: bgp.multipathRelax,
    linkBandwidth: bgp.linkBandwidth,
    alwaysCompareMed: bgp.alwaysCompareMed,
    missingMedWorst: bgp.missingMedWorst,
    bestExternal: bgp.bestExternal,
    ...(bgp.distance && { distance: bgp.distance }),
    ...restartOf(bgp),
    ...(bgp.confederation && { confederation: bgp.confederation }),
    gracefulShutdown: bgp.gracefulShutdown,
    statics: bgp.routes.map(({ prefix, to, policy, tag }) => ({
      prefix,
      to,
      ...(policy && { policy: named(policy) }),
      ...(tag !== undefined && { tag }),
    })),
    aggregates: bgp.aggregates.map(({ prefix, summaryOnly, policy }) => ({
      prefix,
      summaryOnly,
      ...(policy && { policy: named(policy) }),
    })),
    rtcDefault: bgp.rtcDefault,
    peers: bgp.speaker === 'none' ? [] : bgp.peers.map((peer) => peerConfigOf(peer, named)),
    ...guestsOf(intent, policies),
  };
}

function guestsOf(
  { guests }: Intent,
  policies: ReadonlyMap<string, CompiledPolicy>,
): Pick<RouterConfig, 'guests'> {
  if (guests === undefined) return {};
  const { freshPreference } = guests.moves;
  const policy = guests.policy && policyChain(policies, guests.policy, 'guests');
  return { guests: policy === undefined ? { freshPreference } : { freshPreference, policy } };
}

function ruleOf(source: RedistributeSource, named: Named): RedistributeRule {
  return source.policy === undefined ? {} : { policy: named(source.policy) };
}

function restartOf(bgp: BgpIntent): Pick<RouterConfig, 'gracefulRestart'> {
  const { enabled, ...gracefulRestart } = bgp.gracefulRestart;
  return enabled ? { gracefulRestart } : {};
}

function peerConfigOf(peer: PeerIntent, named: Named): PeerConfig {
  const settings = settingsOf(peer, named);
  const { where } = peer;
  switch (where.kind) {
    case 'interface':
      return { ...settings, kind: 'interface', pattern: where.pattern };
    case 'range':
      return { ...settings, kind: 'range', range: where.range, limit: peer.maxPeers };
    case 'address':
      return {
        ...settings,
        kind: 'address',
        address: where.address,
        ...(where.scope !== undefined && { interface: where.scope }),
      };
  }
}

function settingsOf(peer: PeerIntent, named: Named): PeerSettings {
  return {
    ...(peer.where.kind !== 'interface' && { name: peer.name }),
    ...(peer.description !== undefined && { description: peer.description }),
    ...(peer.group !== undefined && { group: peer.group }),
    remoteAs: peer.remoteAs,
    families: maskOf(peer.families),
    ...familySettingsOf(peer, named),
    ...byFamilyOf(peer, named),
    ...(peer.password && { password: peer.password.reveal() }),
    ttlSecurity: peer.ttlSecurityHops !== undefined,
    multihop: peer.ttlSecurityHops ?? peer.multihopTtl ?? 1,
    holdTimeMs: peer.timers.holdMs,
    keepaliveMs: peer.timers.keepaliveMs,
    connectRetryMs: peer.timers.connectRetryMs,
    ...(peer.idleHoldMs !== undefined && { idleHoldMs: peer.idleHoldMs }),
    passive: peer.passive,
    shutdown: peer.shutdown,
    ...(peer.shutdownText !== undefined && { shutdownText: peer.shutdownText }),
    ...(peer.localAs && { localAs: peer.localAs }),
    allowAsIn: peer.allowAsIn,
    ...(peer.removePrivateAs && { removePrivateAs: peer.removePrivateAs }),
    asOverride: peer.asOverride,
    nextHopSelf: peer.nextHopSelf,
    nextHopUnchanged: peer.nextHopUnchanged,
    routeReflectorClient: peer.routeReflectorClient,
    routeServerClient: peer.routeServerClient,
    enforceFirstAs: peer.enforceFirstAs,
    ...(peer.role !== undefined && { role: peer.role }),
    roleStrict: peer.roleStrict,
    gracefulRestart: peer.gracefulRestart,
    ...(peer.awaitMs !== undefined && { awaitMs: peer.awaitMs }),
    ...(peer.users && { users: peer.users }),
    ...(peer.bfd && { bfd: peer.bfd }),
    extendedMessages: peer.extendedMessages,
    asSet: peer.asSet,
    ...(peer.flowspecValidation !== undefined && { flowspecValidation: peer.flowspecValidation }),
    gracefulShutdown: peer.gracefulShutdown,
    blackhole: peer.blackhole,
    ...(peer.moves !== undefined && { moves: peer.moves }),
    weight: peer.weight,
    port: peer.port,
    ...(peer.localAddress && { localAddress: peer.localAddress }),
  };
}

function familySettingsOf(family: FamilyIntent, named: Named): FamilySettings {
  return {
    ...(family.import && { import: named(family.import) }),
    ...(family.export && { export: named(family.export) }),
    ...(family.maxPrefix && { maxPrefix: family.maxPrefix }),
    ...(family.addPath && { addPath: family.addPath }),
    ...(family.defaultOriginate && { defaultOriginate: ruleOf(family.defaultOriginate, named) }),
  };
}

function byFamilyOf(peer: PeerIntent, named: Named): Pick<PeerSettings, 'byFamily'> {
  if (peer.byFamily === undefined) return {};
  const byFamily: Record<number, FamilySettings> = {};
  for (const [name, family] of Object.entries(peer.byFamily))
    byFamily[familyId(name)] = familySettingsOf(family, named);
  return { byFamily };
}

function maskOf(names: readonly PeerFamily[]): number {
  let mask = 0;
  for (const name of names) mask |= 1 << familyId(name);
  return mask;
}

function familyId(name: string): number {
  const id = familyByName(name);
  assert(id >= 0, `family ${name} is known to the intent, not to the wire`);
  return id;
}

// From what the operator wants to what the router is told: names of policies become compiled policies, secrets
// become keys, and the kinds of peers take the router's form. Pure; an unknown policy name cannot occur, because
// the intent has been checked.

import type { Intent, PeerFamily, PeerIntent, RedistributeSource } from '../intent/intent.ts';
import { assert } from '../lib/assert.ts';
import { compilePolicies, policyNamed } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import { familyByName } from '../wire/bgp/family.ts';
import {
  defaultPeerSettings,
  defaultRouterSettings,
  type PeerConfig,
  type PeerSettings,
  type RedistributeRule,
  type RouterConfig,
} from './config.ts';

/**
 * The router's configuration. `policies` are those of an earlier intent with the same definitions, so that a reload
 * that changes none of them judges no route again. Throws LeafdError when a policy cannot be compiled.
 */
export function routerConfigOf(
  intent: Intent,
  policies: ReadonlyMap<string, CompiledPolicy> = compilePolicies(intent.policies),
): RouterConfig {
  const { bgp } = intent;
  const named = (name: string | undefined): CompiledPolicy | undefined =>
    name === undefined ? undefined : policyNamed(policies, name, 'bgp');
  const rule = (source: RedistributeSource): RedistributeRule => {
    const policy = named(source.policy);
    return policy === undefined ? {} : { policy };
  };
  const { connected, static: fromStatic, kernel } = bgp.redistribute;
  const restart = bgp.gracefulRestart;
  return {
    ...defaultRouterSettings,
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
    ...(restart.enabled && {
      gracefulRestart: {
        restartTimeMs: restart.restartTimeMs,
        stalePathTimeMs: restart.stalePathTimeMs,
        notification: true,
      },
    }),
    peers: bgp.peers.map((peer) => peerConfigOf(peer, named)),
  };
}

function peerConfigOf(
  peer: PeerIntent,
  named: (name: string | undefined) => CompiledPolicy | undefined,
): PeerConfig {
  const importPolicy = named(peer.import);
  const exportPolicy = named(peer.export);
  const settings: PeerSettings = {
    ...defaultPeerSettings,
    ...(peer.where.kind !== 'interface' && { name: peer.name }),
    ...(peer.description !== undefined && { description: peer.description }),
    ...(peer.group !== undefined && { group: peer.group }),
    remoteAs: peer.remoteAs,
    families: maskOf(peer.families),
    ...(peer.password && { password: peer.password.reveal() }),
    ttlSecurity: peer.ttlSecurityHops !== undefined,
    multihop: peer.ttlSecurityHops ?? peer.multihopTtl ?? 1,
    holdTimeMs: peer.timers.holdMs,
    keepaliveMs: peer.timers.keepaliveMs,
    connectRetryMs: peer.timers.connectRetryMs,
    passive: peer.passive,
    shutdown: peer.shutdown,
    ...(importPolicy && { import: importPolicy }),
    ...(exportPolicy && { export: exportPolicy }),
    nextHopSelf: peer.nextHopSelf ? 'all' : 'never',
    routeReflectorClient: peer.routeReflectorClient,
    ...(peer.maxPrefix && {
      maxPrefix: {
        limit: peer.maxPrefix.limit,
        action: peer.maxPrefix.action,
        restartAfterMs: peer.maxPrefix.restartAfterMs,
      },
    }),
    port: peer.port,
    ...(peer.localAddress && { localAddress: peer.localAddress }),
  };
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

function maskOf(names: readonly PeerFamily[]): number {
  let mask = 0;
  for (const name of names) {
    const id = familyByName(name);
    assert(id >= 0, `family ${name} is known to the intent, not to the wire`);
    mask |= 1 << id;
  }
  return mask;
}

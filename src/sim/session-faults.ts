// Faults of what goes over the sessions of a drawn network: BFD that hears nothing, storms of refreshes, settings that
// change live, routes of opaque families that come, go and change. Drawn by faults.ts with the others.

import type { AddPathSettings, InterfacePeer, PeerConfig } from '../router/config.ts';
import type { Faults } from './faults.ts';
import { drawSession } from './features.ts';
import type { OpaqueRoute } from './opaque.ts';

/** A false alarm: the path is well. */
export function deafen(faults: Faults): string | undefined {
  const watching = faults.running().filter(({ bfd }) => bfd.isWatching);
  if (watching.length === 0) return undefined;
  const node = faults.rng.pick(watching);
  const ms = faults.rng.between(300, 2000);
  node.bfd.deafen(ms);
  return `BFD of ${node.name} hears nothing for ${ms} ms`;
}

/** One peer asks again and again, and is told again as often. */
export function refreshStorm(faults: Faults): string | undefined {
  const { rng, world } = faults;
  const running = faults.running();
  if (running.length === 0) return undefined;
  const node = rng.pick(running);
  const peers = [...node.router!.directory.byName.values()];
  if (peers.length === 0) return undefined;
  const { name } = rng.pick(peers);
  const count = rng.between(3, 12);
  for (let i = 0; i < count; i++)
    world.schedule.after(rng.below(3000), () => {
      const peer = node.router?.directory.byName.get(name);
      if (peer !== undefined) node.router!.act(peer, 'refresh');
    });
  return `${node.name} refreshes ${name} ${count} times`;
}

/** Other limits, numbers of paths, kinds of restart: some of it resets sessions, some they have to bear. */
export function retune(faults: Faults): string | undefined {
  const { rng } = faults;
  const running = faults.running().filter((node) => faults.basePeers(node).every(isDrawn));
  if (running.length === 0) return undefined;
  const node = rng.pick(running);
  const chosen = rng.below(faults.basePeers(node).length);
  const isOnlyLimit = rng.chance(0.5);
  const drawn = drawSession(rng, node.config.confederation !== undefined);
  const change = (peer: PeerConfig, i: number): PeerConfig => {
    if (i !== chosen || peer.kind !== 'interface') return peer;
    const { addPath, maxPrefix, bfd, ...rest } = peer;
    if (!isOnlyLimit) {
      // How many paths are wanted at most is said in OPEN, so the number stays.
      const { receiveMax: _, ...paths } = drawn.addPath ?? {};
      const max = addPath?.receiveMax;
      const kept = { ...paths, ...(max !== undefined && { receiveMax: max }) } as AddPathSettings;
      return { ...rest, ...drawn, ...(drawn.addPath && { addPath: kept }) };
    }
    const kept = { ...rest, ...(addPath && { addPath }), ...(bfd && { bfd }) };
    return drawn.maxPrefix === undefined ? kept : { ...kept, maxPrefix: drawn.maxPrefix };
  };
  faults.setBasePeers(node, faults.basePeers(node).map(change));
  // A router whose scheme allows one path alone keeps to that.
  const multipath = node.config.multipath === 1 ? 1 : rng.pick([1, 4, 16]);
  node.configure({ ...node.config, multipath, peers: node.config.peers.map(change) });
  const port = (faults.basePeers(node)[chosen] as InterfacePeer).pattern;
  return `${node.name} has other settings for ${port}${isOnlyLimit ? ': its limit' : ''}`;
}

function isDrawn(peer: PeerConfig): boolean {
  return peer.kind === 'interface' && !peer.pattern.includes('*');
}

/** A label changes, or a route goes for a while or for good. */
export function changeOpaque(faults: Faults): string | undefined {
  const { rng, world } = faults;
  const all = world.nodes.flatMap((node) =>
    [...node.opaque.values()].map((route): [typeof node, OpaqueRoute] => [node, route]),
  );
  if (all.length === 0) return undefined;
  const [node, route] = rng.pick(all);
  if (rng.chance(0.5)) {
    const rest = route.rest.slice();
    // The last byte but one is in the middle of the label.
    rest[rest.length - 2] = rng.below(256);
    const extendedCommunities = rng.chance(0.3) ? [`rt:65000:${rng.below(5)}`] : route.extendedCommunities;
    node.putOpaque({ ...route, rest, extendedCommunities });
    return `${route.text} of ${node.name} has another label`;
  }
  node.removeOpaque(route);
  if (rng.chance(0.6))
    faults.later(faults.while(), `${route.text} is back at ${node.name}`, () => node.putOpaque(route));
  return `${route.text} goes from ${node.name}`;
}

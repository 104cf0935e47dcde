// Routes whose NLRI are more than a prefix (RFC 4364, RFC 7432): put into the rib of the router they belong to, as a
// VPN instance of its machine would, and held byte for byte against what the other routers have. Their next hop is a
// loopback, told by policy, which the others reach over routes of another family.

import { sameBytes } from '../lib/bytes.ts';
import { formatIp4 } from '../net/ip.ts';
import { compilePolicies } from '../policy/compile.ts';
import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { PATH_USED } from '../rib/path-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import type { FamilySettings } from '../router/config.ts';
import type { Router } from '../router/router.ts';
import { type AttributesView, describeAttributes, encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { EVPN, families, VPNV4 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

/** A route of a router's own. */
export interface OpaqueRoute {
  family: number;
  /** As people write it (`Rib.nlriText`). */
  text: string;
  /** What the NLRI carries beside its key. */
  rest: Uint8Array;
  /** RFC 4360, as text. */
  extendedCommunities: string[];
}

/** Marks what is ours until the export policy has put the next hop to it. */
const OWN = '65000:65000';

/** The routes of one router: a MAC, a prefix by EVPN and one by VPN-IPv4. */
export function opaqueRoutesOf(number: number): OpaqueRoute[] {
  const label = Uint8Array.of(0, number, 0x11);
  const mac = `aa:bb:cc:00:00:${number.toString(16).padStart(2, '0')}`;
  const extendedCommunities = [`rt:65000:${number}`];
  const segment = new Uint8Array(10);
  return [
    {
      family: EVPN,
      text: `[2]:[0]:[48]:[${mac}]:[32]:[10.1.0.${number}] RD 65000:${number}`,
      rest: Uint8Array.of(...segment, ...label),
      extendedCommunities,
    },
    { family: VPNV4, text: `65000:${number}:10.2.${number}.0/24`, rest: label, extendedCommunities },
  ];
}

/** Policies by family of a router that has such routes: they leave with its loopback as next hop. */
export function opaqueExport(bgpId: number): Record<number, FamilySettings> {
  const rule = {
    match: { communities: [OWN] },
    set: { nextHop: formatIp4(bgpId), communities: { remove: [OWN] } },
    action: 'accept',
  } as const;
  const policies = { tunnels: { default: 'accept', rules: [rule] } } as const;
  const tunnels = compilePolicies({ policies }).get('tunnels')!;
  return { [EVPN]: { export: tunnels }, [VPNV4]: { export: tunnels } };
}

/** Puts a route of the router's own into its rib, or takes it out. */
export function putOpaque(router: Router, route: OpaqueRoute, present: boolean): void {
  const rib = router.ribs[route.family]!;
  const key = nlriCodecs[route.family]!.parse(route.text)!;
  if (present) {
    const { extendedCommunities } = route;
    const communities = [OWN];
    const attributes = encodeAttributes({ origin: 'igp', asPath: '', communities, extendedCommunities });
    const attrId = router.pool.intern(attributes, 0, attributes.length);
    rib.announceNlri(LOCAL_PEER, key, route.rest, 0, attrId, NEXT_HOP_SELF);
    router.pool.release(attrId);
  } else rib.withdrawNlri(LOCAL_PEER, key, 0);
  router.wake();
}

/** What somebody has of an opaque route that is not what its owner sent, or that nobody owns. */
export function opaqueDifference(world: World): string | undefined {
  const owners = new Map<string, [SimNode, OpaqueRoute]>();
  for (const node of world.nodes)
    if (node.isRunning) for (const route of node.opaque.values()) owners.set(keyOf(route), [node, route]);
  for (const { name, router } of world.nodes)
    for (const rib of router?.ribs ?? []) {
      if (rib.form === 'prefix') continue;
      for (let path = 1; path < rib.paths.end; path++) {
        if ((rib.paths.flags[path]! & PATH_USED) === 0 || rib.paths.peer[path] === LOCAL_PEER) continue;
        const text = rib.nlriText(rib.paths.prefix[path]!);
        const owner = owners.get(`${rib.family} ${text}`);
        const what = owner === undefined ? 'nobody has it' : difference(rib, path, ...owner);
        if (what !== undefined) return `${name} has ${families[rib.family]!.name} ${text}: ${what}`;
      }
    }
  return undefined;
}

export function keyOf({ family, text }: OpaqueRoute): string {
  return `${family} ${text}`;
}

function difference(rib: Rib, path: number, owner: SimNode, route: OpaqueRoute): string | undefined {
  const { paths, nlriData, nextHops, pool } = rib;
  const rest = nlriData.copyOf(paths.nlriDataOf(path));
  if (rest.length !== route.rest.length || !sameBytes(rest, 0, route.rest, 0, rest.length))
    return `it carries ${Buffer.from(rest).toString('hex')}, not ${Buffer.from(route.rest).toString('hex')}`;
  const hop = nextHops.addressOf(paths.receivedNextHop(path));
  const loopback = owner.config.networks[0]!.bytes;
  if (hop.length !== 4 || !sameBytes(hop, 0, loopback, 0, 4)) return `its next hop is [${hop}]`;
  const attrId = paths.attrIdIn[path]!;
  const start = pool.offset(attrId);
  const view: AttributesView = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
  const targets = `${view.extendedCommunities}`;
  if (targets !== `${route.extendedCommunities}`) return `its targets are ${targets}`;
  return view.communities === undefined ? undefined : `it has got communities ${view.communities}`;
}

// `passthrough:` resolved: defaults filled in, addresses of the leg towards the host allocated, and what spans several
// keys judged. The BGP speakers of the host become ordinary peers (passthrough-speakers.ts) that come after those of
// `bgp.peers`; what depends on those is passthrough-checks.ts's.

import { formatIp, parseIp, sameIp } from '../net/ip.ts';
import { type Prefix, parsePrefix, prefixContains, prefixText } from '../net/prefix.ts';
import { blockOf } from './guest-address.ts';
import type { BgpIntent, KernelIntent, PeerIntent } from './intent.ts';
import { lastNodeIndex, localAddresses } from './local-cidr.ts';
import { complain, durationOf, type Findings, type PeerContext } from './merged.ts';
import type {
  InterfaceAddress,
  OpenperouterIntent,
  PassthroughIntent,
  PassthroughVethIntent,
  UplinkIntent,
} from './passthrough.ts';
import { askUsersOnLeg, checkAround } from './passthrough-checks.ts';
import { type Leg, legFamilies, resolveSpeakers, type SpeakersIntent } from './passthrough-speakers.ts';
import type { BgpConfig } from './schema-bgp.ts';
import {
  DEFAULT_NETNS,
  DEFAULT_OPENPEROUTER,
  type PassthroughConfig,
  type UplinkConfig,
} from './schema-passthrough.ts';
import type { Path } from './tree.ts';

/** The names that OpenPERouter gives the leg towards the host. */
export const HOST_LINK = 'pt-host';
export const ROUTER_LINK = 'pt-ns';

/** What the rest of the configuration says that passthrough depends on. */
export interface AroundPassthrough {
  bgp: BgpIntent;
  /** Where `bgp.peers` were written, by their position in `bgp`. */
  positions: readonly number[];
  groups: BgpConfig['groups'];
  kernel: Pick<KernelIntent, 'fib' | 'table'>;
  hasGuests: boolean;
  /** For the peers that speakers become. */
  context: PeerContext;
}

/** What the section comes to: itself, and what it adds to `bgp`. */
export interface PassthroughParts {
  passthrough: PassthroughIntent;
  peers: PeerIntent[];
  networks: Prefix[];
}

const root: Path = ['passthrough'];

/** The intent of a `passthrough:` section that the schema has taken. */
export function resolvePassthrough(
  config: PassthroughConfig,
  around: AroundPassthrough,
  findings: Findings,
): PassthroughParts {
  const nodeIndex = config.nodeIndex ?? 0;
  const uplinks = resolveUplinks(config, findings);
  const legs = resolveLegs(config, nodeIndex, findings);
  checkUplinkAddresses(uplinks, legs, around, findings);
  const awaitMs = durationOf(
    config.awaitSpeakers,
    '30s',
    [...root, 'awaitSpeakers'],
    ['0s', '10m'],
    findings,
  );
  const { users = 'system' } = config;
  const speakers = resolveSpeakers(config, legs, { ...around, awaitMs, users }, findings);
  const passthrough: PassthroughIntent = {
    netns: config.netns ?? DEFAULT_NETNS,
    nodeIndex,
    uplinks,
    speakers: speakers.speakers,
    confirmMs: resolveConfirm(config, findings),
    restoreOnStop: config.restoreOnStop ?? false,
  };
  const veth = resolveVeth(config, legs, speakers);
  if (veth !== undefined) passthrough.veth = veth;
  const openperouter = resolveOpenperouter(config);
  if (openperouter !== undefined) passthrough.openperouter = openperouter;
  checkAround(config, passthrough, around, findings);
  if (users !== 'any') askUsersOnLeg(around.bgp.peers, veth, users);
  return { passthrough, peers: speakers.peers, networks: networksOf(veth, around.bgp.networks) };
}

/** The host's addresses are announced, unless that was said already. */
function networksOf(veth: PassthroughVethIntent | undefined, announced: readonly Prefix[]): Prefix[] {
  const known = new Set(announced.map(prefixText));
  return (veth?.hostAddresses ?? [])
    .map(({ bytes }): Prefix => ({ bytes, length: bytes.length * 8 }))
    .filter((prefix) => !known.has(prefixText(prefix)));
}

function resolveConfirm(config: PassthroughConfig, findings: Findings): number {
  const path = [...root, 'confirm'];
  const ms = durationOf(config.confirm, '60s', path, ['0s', '1h'], findings);
  if (ms > 0 && ms < 5000)
    complain(findings, path, 'must be 0s or at least 5s', 'a session takes some seconds to come up');
  return ms;
}

function resolveOpenperouter({ openperouter }: PassthroughConfig): OpenperouterIntent | undefined {
  if (openperouter === undefined || openperouter === false) return undefined;
  const { directory = DEFAULT_OPENPEROUTER, kubernetes = false } = openperouter === true ? {} : openperouter;
  if (kubernetes === false) return { directory };
  const { kubeconfig, node, namespace } = kubernetes === true ? {} : kubernetes;
  return {
    directory,
    kubernetes: {
      ...(kubeconfig !== undefined && { kubeconfig }),
      ...(node !== undefined && { node }),
      ...(namespace !== undefined && { namespace }),
    },
  };
}

function resolveLegs(config: PassthroughConfig, nodeIndex: number, findings: Findings): Leg[] {
  return legFamilies.flatMap((family): Leg[] => {
    const text = config.localCIDR?.[family];
    if (text === undefined) return [];
    const path = [...root, 'localCIDR', family];
    const cidr = parsePrefix(text)!;
    const own = localAddresses(cidr, nodeIndex);
    if (own === undefined) {
      complain(findings, path, `has no address for node index ${nodeIndex}`, roomOf(cidr));
      return [];
    }
    const block = blockOf(own.router);
    // IPv4 knows no scopes: what is link-local there is as good as any other address between two.
    if (block !== undefined && !(block === 'link-local' && family === 'ipv4'))
      complain(findings, path, `is ${block}`, 'it is announced, and has to be reached by others');
    return [{ family, cidr, ...own }];
  });
}

function roomOf(cidr: Prefix): string {
  const last = lastNodeIndex(cidr);
  if (last < 0) return 'it takes two addresses, as in a /31 or a /127';
  return last === 0 ? 'it has room for index 0 only' : `it has room for 0 to ${last}`;
}

function resolveVeth(
  config: PassthroughConfig,
  legs: readonly Leg[],
  speakers: SpeakersIntent,
): PassthroughVethIntent | undefined {
  if (legs.length === 0) return undefined;
  const inLeg = ({ cidr }: Leg, bytes: Uint8Array): InterfaceAddress => ({
    bytes,
    prefixLength: cidr.length,
  });
  const own = legs.map((leg) => inLeg(leg, leg.host));
  const more = legs.flatMap((leg) =>
    speakers.hostAddresses
      .filter((address) => address.length === leg.host.length && !sameIp(address, leg.host))
      .map((address) => inLeg(leg, address)),
  );
  const veth: PassthroughVethIntent = {
    hostLink: HOST_LINK,
    routerLink: ROUTER_LINK,
    routerAddresses: legs.map((leg) => inLeg(leg, leg.router)),
    hostAddresses: [...own, ...more],
  };
  if (config.mtu !== undefined) veth.mtu = config.mtu;
  return veth;
}

/** Names that mean something else in one of the namespaces; the last are all links and those to come, of sysctls. */
const taken = ['lo', ROUTER_LINK, HOST_LINK, 'all', 'default'];

function resolveUplinks(config: PassthroughConfig, findings: Findings): UplinkIntent[] {
  const uplinks: UplinkIntent[] = [];
  for (const [index, given] of (config.uplinks ?? []).entries()) {
    const path = [...root, 'uplinks', index];
    const one = typeof given === 'string' ? { interface: given } : given;
    const uplink = uplinkOf(one, path, findings);
    const at = (key: 'interface' | 'name' | 'vlan'): Path =>
      typeof given !== 'string' && given[key] !== undefined ? [...path, key] : path;
    if (taken.includes(uplink.parent)) complain(findings, at('interface'), 'is not a NIC of the fabric');
    else if (taken.includes(uplink.name)) complain(findings, at('name'), 'is taken in the router namespace');
    const rival = uplinks.map((earlier) => clashOf(uplink, earlier)).find((clash) => clash !== undefined);
    if (rival !== undefined) complain(findings, at(rival.key), rival.reason, rival.hint);
    uplinks.push(uplink);
  }
  return uplinks;
}

interface Clash {
  key: 'interface' | 'name' | 'vlan';
  reason: string;
  hint?: string;
}

/** What two uplinks cannot both have. */
function clashOf(later: UplinkIntent, earlier: UplinkIntent): Clash | undefined {
  if (later.parent === earlier.parent && [later, earlier].some(({ mode }) => mode.kind === 'move')) {
    if (later.mode.kind === earlier.mode.kind) return { key: 'interface', reason: 'is in the list already' };
    return {
      key: 'interface',
      reason: 'is an uplink above in another way',
      hint: 'a NIC moves as a whole, or stays and has macvlans and VLANs in the router namespace',
    };
  }
  if (later.name === earlier.name)
    return {
      key: 'name',
      reason: `is called ${later.name} in the router namespace, as an uplink above is`,
      hint: 'give it a name of its own',
    };
  const both =
    later.mode.kind === 'vlan' && earlier.mode.kind === 'vlan' && later.mode.id === earlier.mode.id;
  return both && later.parent === earlier.parent
    ? { key: 'vlan', reason: `is the VLAN of ${earlier.name} above` }
    : undefined;
}

function uplinkOf(given: Exclude<UplinkConfig, string>, path: Path, findings: Findings): UplinkIntent {
  const { interface: parent, mode = 'move', vlan } = given;
  if (mode === 'vlan' && vlan === undefined)
    complain(findings, path, 'has no vlan', 'mode: vlan needs the tag, from 1 to 4094');
  if (mode !== 'vlan' && vlan !== undefined)
    findings.problems.push({ path: [...path, 'vlan'], at: 'key', reason: 'is only for mode: vlan' });
  if (mode === 'move' && given.addresses !== undefined)
    findings.problems.push({
      path: [...path, 'addresses'],
      at: 'key',
      reason: 'is only for mode: macvlan and mode: vlan',
      hint: 'a NIC that moves takes its addresses along',
    });
  if (mode === 'move' && given.name !== undefined && given.name !== parent)
    complain(findings, [...path, 'name'], 'is another one than that of the NIC', 'a NIC that moves keeps it');
  const usual = mode === 'vlan' && vlan !== undefined ? `${parent}.${vlan}` : parent;
  if (given.name === undefined && usual.length > 15)
    complain(findings, path, `would be called ${usual}, which is too long`, 'give it a name');
  const uplink: UplinkIntent = {
    name: given.name ?? usual,
    parent,
    mode: mode === 'vlan' ? { kind: mode, id: vlan ?? 0 } : { kind: mode },
    addresses: (given.addresses ?? []).map(addressOf),
  };
  if (given.mtu !== undefined) uplink.mtu = given.mtu;
  return uplink;
}

function addressOf(text: string): InterfaceAddress {
  return { bytes: parseIp(text.split('/')[0]!)!, prefixLength: parsePrefix(text)!.length };
}

/** One address is one interface's; one of a peer, or within the leg towards the host, would lead astray. */
function checkUplinkAddresses(
  uplinks: readonly UplinkIntent[],
  legs: readonly Leg[],
  around: AroundPassthrough,
  findings: Findings,
): void {
  const owners = new Map<string, string>();
  for (const [index, { name, addresses }] of uplinks.entries())
    for (const [at, { bytes, prefixLength }] of addresses.entries()) {
      const path = [...root, 'uplinks', index, 'addresses', at];
      const text = formatIp(bytes);
      const network = { bytes, length: prefixLength };
      const owner = owners.get(text);
      const leg = legs.find(({ cidr }) => prefixContains(cidr, network) || prefixContains(network, cidr));
      const peer = around.bgp.peers.find(
        ({ where }) => where.kind === 'address' && sameIp(where.address, bytes),
      );
      if (owner !== undefined)
        complain(
          findings,
          path,
          owner === name ? 'is in the list already' : `is an address of ${owner} above`,
        );
      else if (leg !== undefined)
        complain(findings, path, `overlaps localCIDR.${leg.family}, ${prefixText(leg.cidr)}`);
      else if (peer !== undefined) complain(findings, path, `is the address of the peer ${peer.name}`);
      owners.set(text, owner ?? name);
    }
}

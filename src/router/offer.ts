// What a peer is offered and how it is reached: the session's configuration with the capabilities of our OPEN, the
// target of a connection, TTLs, and the keys that incoming connections must carry. Derived from the configuration
// each time it is asked for, so that nothing has to be kept in step.

import { isLinkLocal6 } from '../net/ip.ts';
import { formatPrefix } from '../net/prefix.ts';
import type { SessionConfig } from '../session/state.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { AFI_IPV4, AFI_IPV6, families, familiesIn, IPV4, SAFI_UNICAST } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import type { Directory } from './directory.ts';
import type { Peer } from './peer.ts';
import type { ConnectTarget, RouterPorts } from './ports.ts';

const IDLE_HOLD_MS = 1000;
/**
 * How long to wait for the peer's OPEN: the RFC's 4 minutes would keep a connection whose other end died without a
 * word from being replaced by its next one.
 */
const OPEN_HOLD_MS = 30_000;
/** TTL of sessions that may cross routers. */
const FAR_TTL = 255;
/** FQDN capability: the host name has a one-byte length; longer ones help nobody. */
const HOSTNAME_MAX = 64;

/** What OPEN says besides the capabilities of the families. */
export interface OfferState {
  /** The R bit of graceful restart. */
  restarting: boolean;
  /** Forwarding goes on while we restart (the F bits). */
  forwards: boolean;
  /** Whether the session may come back by itself. */
  mayRestart: boolean;
}

export function sessionConfigOf(config: RouterConfig, peer: Peer, state: OfferState): SessionConfig {
  const settings = peer.config;
  return {
    localAsn: config.asn,
    bgpId: config.bgpId,
    remoteAs: settings.remoteAs,
    holdTimeMs: settings.holdTimeMs,
    keepaliveMs: settings.keepaliveMs,
    connectRetryMs: settings.connectRetryMs,
    openHoldMs: Math.max(OPEN_HOLD_MS, settings.holdTimeMs),
    idleHoldMs: Math.min(IDLE_HOLD_MS, settings.connectRetryMs),
    passive: settings.passive || settings.kind === 'range',
    automaticRestart: state.mayRestart && settings.kind !== 'range',
    capabilities: capabilitiesOf(config, peer, state),
  };
}

function capabilitiesOf(config: RouterConfig, peer: Peer, state: OfferState): Capability[] {
  const offered = familiesIn(peer.config.families).map((id) => families[id]!);
  const capabilities: Capability[] = offered.map(({ afi, safi }) => ({ kind: 'multiprotocol', afi, safi }));
  capabilities.push({ kind: 'routeRefresh' }, { kind: 'asn4', asn: config.asn });
  if ((peer.config.families & (1 << IPV4)) !== 0) {
    const entries = [{ afi: AFI_IPV4, safi: SAFI_UNICAST, nextHopAfi: AFI_IPV6 }];
    capabilities.push({ kind: 'extendedNextHop', entries });
  }
  const restart = config.gracefulRestart;
  if (restart !== undefined) {
    capabilities.push({
      kind: 'gracefulRestart',
      restartState: state.restarting,
      notification: false,
      timeS: Math.min(4095, Math.ceil(restart.restartTimeMs / 1000)),
      families: offered.map(({ afi, safi }) => ({ afi, safi, forwarding: state.forwards })),
    });
  }
  capabilities.push({ kind: 'fqdn', host: config.nodeName.slice(0, HOSTNAME_MAX), domain: '' });
  return capabilities;
}

/** Where to connect; undefined while an unnumbered neighbour has not been heard. */
export function connectTargetOf(config: RouterConfig, peer: Peer): ConnectTarget | undefined {
  if (peer.remote === undefined) return undefined;
  const { port, localAddress, password } = peer.config;
  const target: ConnectTarget = {
    peer: peer.index,
    remote: peer.remote,
    port,
    ifindex: peer.ifindex,
    ...hopsOf(config, peer),
  };
  if (localAddress !== undefined) target.localAddress = localAddress;
  if (password !== undefined) target.password = password;
  return target;
}

/** TTL to send with and the lowest to accept (RFC 5082; RFC 4271 wants external peers on the link). */
export function hopsOf(config: RouterConfig, peer: Peer): { ttl: number; minTtl: number } {
  const settings = peer.config;
  if (settings.ttlSecurity) return { ttl: 255, minTtl: 256 - settings.multihop };
  if (peer.ifindex !== 0) return { ttl: FAR_TTL, minTtl: 0 };
  const { remoteAs } = settings;
  const mayBeInternal =
    remoteAs.kind === 'internal' ||
    remoteAs.kind === 'any' ||
    (remoteAs.kind === 'list' &&
      remoteAs.ranges.some(([low, high]) => low <= config.asn && high >= config.asn));
  return { ttl: mayBeInternal ? FAR_TTL : settings.multihop, minTtl: 0 };
}

interface Key {
  address: Uint8Array;
  length: number;
  password: string;
}

/** Keeps the transport's keys (RFC 2385) as the peers and ranges want them. */
export class Keys {
  readonly #ports: RouterPorts;
  #set = new Map<string, Key>();

  constructor(ports: RouterPorts) {
    this.#ports = ports;
  }

  /** Sets what is new or changed, takes away what nobody wants any more. */
  follow(directory: Directory): void {
    const wanted = new Map<string, Key>();
    const want = (address: Uint8Array, length: number, password: string | undefined): void => {
      if (password === undefined) return;
      const key = formatPrefix(address, 0, address.length, length);
      if (!wanted.has(key)) wanted.set(key, { address, length, password });
    };
    for (const peer of directory.byName.values())
      if (peer.remote !== undefined) want(peer.remote, peer.remote.length * 8, peer.config.password);
    for (const config of directory.configs)
      if (config.kind === 'range') want(config.range.bytes, config.range.length, config.password);
    for (const [text, key] of this.#set)
      if (!wanted.has(text)) this.#ports.setKey(key.address, key.length, null);
    for (const [text, key] of wanted)
      if (this.#set.get(text)?.password !== key.password)
        this.#ports.setKey(key.address, key.length, key.password);
    this.#set = wanted;
  }
}

/** Whether an address means something only on its own link. */
export function isOnLink(address: Uint8Array): boolean {
  return address.length === 16 && isLinkLocal6(address);
}

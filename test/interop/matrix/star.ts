// A star of sessions around a foreign daemon, from a list of wires. Wire N is a /31 of its own, 10.255.N.0 at leafd and
// 10.255.N.1 at the peer, and a session over it. leafd tells over it what is in 10.N.0.0/16, the peer what is in
// 20.N.0.0/16, and what the wire says beside that, so that every behaviour has prefixes that no other one touches.

export interface Wire {
  readonly n: number;
  /** The leafd node at its end. */
  readonly node: string;
  /** Settings of leafd's peer; `remoteAs` is that of the star unless given. Null: no peer of this address. */
  readonly peer?: Readonly<Record<string, unknown>> | null;
  /** The foreign daemon's words for its neighbour. */
  readonly words?: readonly string[];
  /** The AS by which the foreign daemon knows leafd, where it is not the node's own. */
  readonly remoteAs?: number;
  /** More prefixes that leafd tells over this wire, and what it sets on them. */
  readonly tells?: readonly string[];
  readonly sets?: Readonly<Record<string, unknown>>;
  /** Prefixes leafd originates beside 10.N.1.0/24. */
  readonly networks?: readonly string[];
  /** More prefixes that the peer tells over this wire, and the words by which it changes them. */
  readonly hears?: readonly string[];
  readonly changes?: readonly string[];
}

export const ours = (n: number): string => `10.255.${n}.0`;
export const theirs = (n: number): string => `10.255.${n}.1`;
export const ourPrefix = (n: number): string => `10.${n}.1.0/24`;
export const theirPrefix = (n: number): string => `20.${n}.1.0/24`;

const isIp4 = (prefix: string): boolean => !prefix.includes(':');

/** A leafd node with its ends of the wires, on one port towards the star. */
export function leafdNode(
  name: string,
  wires: readonly Wire[],
  star: { asn: number; port?: string },
  // biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
  more: { bgp: Record<string, any>; policies?: Record<string, unknown>; [key: string]: any },
  moreAddresses: readonly string[] = [],
): Record<string, unknown> {
  const mine = wires.filter((wire) => wire.node === name);
  const { bgp, policies, commands, ports, sessions, ...rest } = more;
  const peers = mine.flatMap((wire) => {
    if (wire.peer === null) return [];
    const remoteAs = bgp.asn === star.asn ? 'internal' : star.asn;
    const known = wire.peer !== undefined && ('range' in wire.peer || 'address' in wire.peer);
    const where = known ? {} : { address: theirs(wire.n), name: `w${wire.n}` };
    return [{ ...where, remoteAs, families: ['ipv4'], group: 'quick', export: `x${wire.n}`, ...wire.peer }];
  });
  const exports = mine.map(({ n, tells = [], sets }) => {
    const prefixes = [`10.${n}.0.0/16 le 32`, ...tells];
    return [`x${n}`, { rules: [{ match: { prefixes }, ...(sets && { set: sets }), action: 'accept' }] }];
  });
  return {
    config: {
      ...rest,
      bgp: {
        profile: 'fabric',
        ...bgp,
        networks: [
          ...mine.flatMap(({ n, networks = [] }) => [ourPrefix(n), ...networks]),
          ...(bgp.networks ?? []),
        ],
        groups: { quick: { timers: { hold: '30s', keepalive: '10s', connectRetry: '1s' }, idleHold: '1s' } },
        peers: [...peers, ...(bgp.peers ?? [])],
      },
      policies: { ...Object.fromEntries(exports), ...policies },
    },
    ports: { [star.port ?? 'star']: [...mine.map(({ n }) => `${ours(n)}/31`), ...moreAddresses], ...ports },
    ...(commands && { commands }),
    ...(sessions !== undefined && { sessions }),
  };
}

/** The peer's ends of the wires of a leafd node: the addresses of the port to it. */
export const peerPorts = (node: string, wires: readonly Wire[]): string[] =>
  wires.filter((wire) => wire.node === node).map(({ n }) => `${theirs(n)}/31`);

/** What the peer originates for its wires, IPv4 only: 20.N.1.0/24 and what is heard beside that. */
export const heard = ({ n, hears = [] }: Wire): string[] => [`20.${n}.0.0/16`, ...hears.filter(isIp4)];

// A two-tier Clos by three numbers. Names, ports, AS numbers and addresses follow from positions alone, so that a
// lab of any size is read without a table:
//
//   spine S   lo 10.255.0.S, 2001:db8:ffff::S          AS 65001 (or 65000+S with `spineAsn: own`); ethL goes to leaf L
//   leaf L    lo 10.255.1.L, 2001:db8:ffff:1::L        AS 65100+L; ethS goes to spine S, vmK to its host K
//   host N    198.18.L.K/32, 2001:db8:100:L::K/128     numbered through: h1 … hN; a VM stand-in behind its leaf
//
// With `scheme: ibgp` every router is in AS 65000 and the spines reflect (RFC 4456) with themselves as next hop.
// Numbers in IPv6 addresses are written in decimal digits, as people do.

import type { FabricNode } from './fabric-config.ts';
import type { LabLink } from './topology.ts';

export interface ClosOptions {
  readonly spines: number;
  readonly leaves: number;
  readonly hostsPerLeaf: number;
  readonly scheme: 'ebgp' | 'ibgp';
  readonly spineAsn: 'shared' | 'own';
  readonly spineKind: 'leafd' | 'frr';
  readonly leafKind: 'leafd' | 'frr';
  readonly holdS: number;
  readonly keepaliveS: number;
  readonly gracefulRestart: boolean;
}

export interface ClosHost {
  readonly name: string;
  readonly addresses: readonly string[];
}

export interface Clos {
  readonly routers: readonly FabricNode[];
  readonly hosts: readonly ClosHost[];
  readonly links: readonly LabLink[];
}

const IBGP_ASN = 65000;
const SPINE_ASN = 65001;
const LEAF_ASN_BASE = 65100;

/** Routers, hosts and cables of a Clos: spines first, then leaves, then hosts. */
export function generateClos(options: ClosOptions): Clos {
  const routers: FabricNode[] = [];
  const hosts: ClosHost[] = [];
  const links: LabLink[] = [];
  for (let spine = 1; spine <= options.spines; spine++) routers.push(spineOf(spine, options));
  for (let leaf = 1; leaf <= options.leaves; leaf++) {
    routers.push(leafOf(leaf, options));
    for (let spine = 1; spine <= options.spines; spine++) {
      links.push({
        a: { node: `spine${spine}`, port: `eth${leaf}` },
        b: { node: `leaf${leaf}`, port: `eth${spine}` },
      });
    }
    for (let slot = 1; slot <= options.hostsPerLeaf; slot++) {
      const name = `h${hosts.length + 1}`;
      hosts.push({ name, addresses: [`198.18.${leaf}.${slot}/32`, `2001:db8:100:${leaf}::${slot}/128`] });
      links.push({ a: { node: `leaf${leaf}`, port: `vm${slot}` }, b: { node: name, port: 'eth0' } });
    }
  }
  return { routers, hosts, links };
}

function spineOf(spine: number, options: ClosOptions): FabricNode {
  const own = options.spineAsn === 'own' ? SPINE_ASN + spine - 1 : SPINE_ASN;
  return {
    ...sharedOf(options),
    name: `spine${spine}`,
    kind: options.spineKind,
    role: 'spine',
    asn: options.scheme === 'ibgp' ? IBGP_ASN : own,
    loopback4: `10.255.0.${spine}`,
    loopback6: `2001:db8:ffff::${spine}`,
    fabricPorts: Array.from({ length: options.leaves }, (_, leaf) => `eth${leaf + 1}`),
    reflector: options.scheme === 'ibgp',
  };
}

function leafOf(leaf: number, options: ClosOptions): FabricNode {
  return {
    ...sharedOf(options),
    name: `leaf${leaf}`,
    kind: options.leafKind,
    role: 'leaf',
    asn: options.scheme === 'ibgp' ? IBGP_ASN : LEAF_ASN_BASE + leaf,
    loopback4: `10.255.1.${leaf}`,
    loopback6: `2001:db8:ffff:1::${leaf}`,
    fabricPorts: Array.from({ length: options.spines }, (_, spine) => `eth${spine + 1}`),
    reflector: false,
  };
}

function sharedOf(options: ClosOptions) {
  return {
    internal: options.scheme === 'ibgp',
    holdS: options.holdS,
    keepaliveS: options.keepaliveS,
    gracefulRestart: options.gracefulRestart,
  };
}

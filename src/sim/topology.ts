// What a simulation is made of, as plain data: routers with their configuration and what their kernels know by
// themselves, and the cables between their ports. Whoever reads a lab file makes one of these; `clos.ts` makes
// the usual one.

import type { Prefix } from '../net/prefix.ts';
import type { RouterConfig } from '../router/config.ts';
import type { OpaqueRoute } from './opaque.ts';

/** One end of a cable. */
export interface SimEnd {
  node: string;
  port: string;
}

export interface SimLink {
  a: SimEnd;
  b: SimEnd;
}

export interface SimNodeSpec {
  name: string;
  config: RouterConfig;
  /** Routes the kernel has by hand, such as those to guests: packets to them have arrived. */
  statics: Prefix[];
  /** Addresses of ports, with the length of their subnet; a link-local one is always there. */
  addresses: { port: string; address: Uint8Array; length: number }[];
  /** Routes of the machine's own that are more than prefixes. */
  opaque?: OpaqueRoute[];
}

export interface SimTopology {
  nodes: SimNodeSpec[];
  links: SimLink[];
}

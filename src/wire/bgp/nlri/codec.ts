// What the codecs of opaque NLRI are: the interface, the verdicts of `check`, and the object of one NLRI. Apart from
// opaque.ts, which holds the codecs themselves, so that no import turns in a circle.
//
// Each NLRI is cut into a key, which says which route it is, and a rest, which says what the route carries (labels,
// gateways); the rib keeps both as bytes and never looks inside. Keys are canonical: equal routes are equal bytes,
// whatever insignificant bits their senders left. What `check` accepted the others read without checks.

import type { ByteWriter } from '../../../lib/bytes.ts';

/** What `check` says of an NLRI that it can step over; the lower bits are its size. */
export const NLRI_SIZE = 0xfffff;
/** Its key can be read, what it carries cannot: treat-as-withdraw. */
export const NLRI_WITHDRAW = 1 << 24;
/** It names no route that we could keep: to be passed over. */
export const NLRI_SKIP = 1 << 25;

/** One NLRI in words and numbers, for the API. */
export interface NlriView {
  routeDistinguisher?: string;
  /** IP prefix of VPN routes and EVPN type 5. */
  prefix?: string;
  /** MPLS reading (20 bits) and VXLAN reading (24 bits) of each label field. */
  labels?: readonly number[];
  vnis?: readonly number[];
  /** EVPN route type and its name. */
  type?: number;
  typeName?: string;
  esi?: string;
  ethernetTag?: number;
  mac?: string;
  ip?: string;
  gateway?: string;
  /** RTC: AS of origin and the route target, or its prefix; absent in the default route. */
  originAsn?: number;
  routeTarget?: string;
  /** Flow specification: one entry a component. */
  rules?: readonly { readonly component: string; readonly match: string }[];
  /** Bytes of the key where there is no better word for it. */
  hex?: string;
}

export interface NlriCodec {
  /**
   * The NLRI at `at` of a field that ends at `end` (path identifier excluded): its size, with NLRI_WITHDRAW or
   * NLRI_SKIP where it is malformed but can be stepped over; 0 when it cannot.
   */
  check(bytes: Uint8Array, at: number, end: number, reach: boolean): number;
  /** Bytes of the NLRI at `at`, which `check` accepted. */
  size(bytes: Uint8Array, at: number): number;
  /** Appends the key and the rest of the NLRI at `at`. */
  split(bytes: Uint8Array, at: number, key: ByteWriter, rest: ByteWriter): void;
  /** Appends the wire form of a key and its rest; an empty rest gives the form of a withdrawal. */
  join(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    rest: Uint8Array,
    restStart: number,
    restEnd: number,
    out: ByteWriter,
  ): void;
  /** Whether such a route may be held at all: not a multicast or loopback prefix. */
  routable(key: Uint8Array, start: number, end: number): boolean;
  text(key: Uint8Array, start: number, end: number): string;
  describe(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    rest: Uint8Array,
    restStart: number,
    restEnd: number,
  ): NlriView;
  /** The key of such a text, or undefined. */
  parse(text: string): Uint8Array | undefined;
}

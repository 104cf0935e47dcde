// What the decoder says of one UPDATE, and the buffers it says it in. There is one view a decoder; the next message
// overwrites it.

import type { Fault } from './fault.ts';

/** Widening 2-octet paths at most doubles the attributes of the longest message. */
const SCRATCH_LENGTH = 2 * 65536 + 64;
/** Sections of a message whose NLRI is in order: withdrawn, MP_UNREACH, MP_REACH, classic. */
const SECTIONS = 4;

/** What one UPDATE says. Valid until the next call of the decoder; offsets are into the message's buffer. */
export interface UpdateView {
  /** Canonical attributes in [0, attrsLength); empty when nothing is announced. */
  readonly attrs: Uint8Array;
  attrsLength: number;
  /**
   * Sections in the order they are to be worked: withdrawals first. NLRI that must be passed over lies between
   * sections, so that all of a section can be read without checks.
   */
  sectionCount: number;
  sectionFamily: Int32Array;
  /** 1 announced, 0 withdrawn. */
  sectionReach: Int32Array;
  sectionStart: Int32Array;
  sectionEnd: Int32Array;
  /**
   * The next hop of an announced section: nextHop[nextHopStart[i], + nextHopLength[i]), 4, 16 or 32 bytes without
   * route distinguisher; none for flow specifications.
   */
  readonly nextHop: Uint8Array;
  nextHopStart: Int32Array;
  nextHopLength: Int32Array;
  /** The family whose End-of-RIB this is (RFC 4724 section 2), or -1. */
  endOfRib: number;
  /** The strongest fault. */
  fault: Fault | undefined;
  readonly faults: readonly Fault[];
}

/** A view with nothing in it, that lists its faults in `faults`. */
export function emptyView(faults: readonly Fault[]): UpdateView {
  return {
    attrs: new Uint8Array(SCRATCH_LENGTH),
    attrsLength: 0,
    sectionCount: 0,
    sectionFamily: new Int32Array(SECTIONS),
    sectionReach: new Int32Array(SECTIONS),
    sectionStart: new Int32Array(SECTIONS),
    sectionEnd: new Int32Array(SECTIONS),
    nextHop: new Uint8Array(64),
    nextHopStart: new Int32Array(SECTIONS),
    nextHopLength: new Int32Array(SECTIONS),
    endOfRib: -1,
    fault: undefined,
    faults,
  };
}

function wider(column: Int32Array): Int32Array {
  const grown = new Int32Array(column.length * 4);
  grown.set(column);
  return grown;
}

/** Makes room for more sections: where NLRI that is passed over cuts a field into many. */
export function growSections(view: UpdateView): void {
  view.sectionFamily = wider(view.sectionFamily);
  view.sectionReach = wider(view.sectionReach);
  view.sectionStart = wider(view.sectionStart);
  view.sectionEnd = wider(view.sectionEnd);
  view.nextHopStart = wider(view.nextHopStart);
  view.nextHopLength = wider(view.nextHopLength);
}

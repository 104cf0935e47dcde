// UPDATE: from the bytes of one message to canonical attributes, NLRI sections and faults (RFC 4271 sections 4.3
// and 6.3, RFC 4760, RFC 6793, RFC 7911), each fault answered as RFC 7606 says. The view and its buffers belong to
// the decoder and are overwritten by the next message; in the good case nothing is allocated. Loops and next hops
// that are our own are not faults: they are reasons of the rib.
//
// The order of events: the lengths of the three parts; every attribute checked and kept in order of type code;
// MP_UNREACH, MP_REACH and classic NLRI into sections, withdrawals first (RFC 4271 section 4.3); what must be
// there and is not; then the strongest fault decides what remains.

import { readU16 } from '../../lib/bytes.ts';
import { AS_TRANS } from '../../net/asn.ts';
import { checkFirstAsn } from './attribute/as-path.ts';
import { mergeAs4Path, widenAsPath } from './attribute/as4.ts';
import { SET_LENGTH_MAX } from './attribute/canonical.ts';
import {
  AGGREGATOR,
  AS_PATH,
  AS4_AGGREGATOR,
  AS4_PATH,
  EXTENDED_LENGTH,
  LOCAL_PREF,
  MP_REACH,
  MP_UNREACH,
  NEXT_HOP,
  OPTIONAL,
  ORIGIN,
  PARTIAL,
  TRANSITIVE,
} from './attribute/code.ts';
import { attributeRows, nextHopInvalid } from './attribute/table.ts';
import { families, familyOf, IPV4 } from './family.ts';
import { type Fault, locatedFault, strongest, UNRECOGNIZED_WELL_KNOWN, updateFault } from './fault.ts';
import { hostOctet4, NEXT_HOP_BAD_LENGTH, NEXT_HOP_UNUSABLE, readNextHop } from './next-hop.ts';
import { validPrefixes } from './nlri/ip.ts';
import { NLRI_SIZE, NLRI_SKIP, nlriCodecs } from './nlri/opaque.ts';
import type { UpdateContext } from './update-context.ts';
import {
  attributeCut,
  fromOutside,
  missing,
  mpCut,
  mpNextHopLength,
  mpNextHopUnusable,
  mpReachBroken,
  mpRepeated,
  mpUnreachBroken,
  nlriBroken,
  nothingReachable,
  overrun,
  pathTooLong,
  reachSkipped,
  reachWithdrawn,
  repeated,
  tooShort,
  unreachSkipped,
  withdrawnBroken,
  wrongFlags,
} from './update-faults.ts';
import { emptyView, growSections, type UpdateView } from './update-view.ts';

export type { UpdateContext } from './update-context.ts';
export type { UpdateView } from './update-view.ts';

/** Where NEXT_HOP lies in the next hop scratch; that of MP_REACH lies at 0. */
const CLASSIC_NEXT_HOP = 48;

/** Faults told of one message, and one more for each stronger answer after them. */
const FAULTS_MAX = 32;

export class UpdateDecoder {
  readonly #faults: Fault[] = [];
  readonly #view: UpdateView = emptyView(this.#faults);
  // Attributes kept so far, by ascending code.
  readonly #keptCode = new Uint8Array(256);
  readonly #keptFlags = new Uint8Array(256);
  readonly #keptStart = new Int32Array(256);
  readonly #keptEnd = new Int32Array(256);
  #keptCount = 0;
  // Kept values that had parts taken out of them, by code; rare, and looked at only when there is one.
  readonly #repaired: (Uint8Array | undefined)[] = [];
  #repairedCount = 0;
  // Type codes met in this message carry its stamp: nothing has to be cleared between messages.
  readonly #seen = new Int32Array(256);
  #stamp = 0;
  #attributeCount = 0;
  #nextHopAt = -1;
  #mpReachStart = -1;
  #mpReachEnd = -1;
  #mpUnreachStart = -1;
  #mpUnreachEnd = -1;
  #reachable = false;
  #repairable = false;
  // Where the attribute in hand begins and ends, and the body, for faults.
  #attributeStart = 0;
  #attributeEnd = 0;
  #bodyStart = 0;
  #bodyEnd = 0;
  #bytes: Uint8Array = this.#view.nextHop;

  /** Decodes the body in [start, end), where `start` is right behind the header. */
  decode(bytes: Uint8Array, start: number, end: number, ctx: UpdateContext): UpdateView {
    const view = this.#view;
    this.#clear();
    this.#bytes = bytes;
    this.#bodyStart = start;
    this.#bodyEnd = end;
    if (end - start < 4) return this.#give(tooShort, start, end);
    const withdrawnEnd = start + 2 + readU16(bytes, start);
    if (withdrawnEnd + 2 > end) return this.#give(overrun, start, end);
    const attrsStart = withdrawnEnd + 2;
    const attrsEnd = attrsStart + readU16(bytes, withdrawnEnd);
    if (attrsEnd > end) return this.#give(overrun, withdrawnEnd, end);
    const addPath = (ctx.addPath & (1 << IPV4)) !== 0;
    const wanted = (ctx.families & (1 << IPV4)) !== 0;
    if (withdrawnEnd > start + 2) {
      if (!validPrefixes(bytes, start + 2, withdrawnEnd, 32, addPath)) {
        return this.#give(withdrawnBroken, start + 2, withdrawnEnd);
      }
      if (wanted) this.#section(IPV4, 0, start + 2, withdrawnEnd);
    } else if (attrsStart === end && wanted) view.endOfRib = IPV4;
    if (attrsEnd > attrsStart) this.#attributes(bytes, attrsStart, attrsEnd, ctx);
    if (this.#mpUnreachStart >= 0) {
      const alone = this.#attributeCount === 1 && attrsStart === start + 4 && attrsEnd === end;
      this.#mpUnreach(bytes, ctx, alone);
    }
    if (this.#mpReachStart >= 0) this.#mpReach(bytes, ctx);
    if (attrsEnd < end) {
      this.#reachable = true;
      if (!validPrefixes(bytes, attrsEnd, end, 32, addPath)) return this.#give(nlriBroken, attrsEnd, end);
      if (wanted) this.#classic(bytes, attrsEnd, end);
      if (this.#seen[NEXT_HOP] !== this.#stamp) this.#fault(missing[NEXT_HOP]!);
      else if (this.#nextHopAt >= 0 && !hostOctet4(bytes[this.#nextHopAt]!)) this.#fault(nextHopInvalid);
    }
    if (this.#reachable) this.#mandatory(ctx);
    return this.#finish(bytes, ctx);
  }

  #clear(): void {
    const view = this.#view;
    view.attrsLength = 0;
    view.sectionCount = 0;
    view.endOfRib = -1;
    view.fault = undefined;
    if (this.#faults.length > 0) this.#faults.length = 0;
    this.#keptCount = 0;
    this.#repairedCount = 0;
    this.#stamp = (this.#stamp + 1) | 0 || 1;
    this.#attributeCount = 0;
    this.#nextHopAt = -1;
    this.#mpReachStart = -1;
    this.#mpUnreachStart = -1;
    this.#reachable = false;
    this.#repairable = false;
  }

  #fault(fault: Fault): void {
    if (!this.#isTold(fault)) return;
    this.#faults.push(fault);
    this.#view.fault = strongest(this.#view.fault, fault);
  }

  // A message can be full of faults: of many only those are told that change its answer.
  #isTold(fault: Fault): boolean {
    if (this.#faults.length < FAULTS_MAX) return true;
    return strongest(this.#view.fault, fault) !== this.#view.fault;
  }

  // A fault that can be shown: what stands in [start, end) of the message.
  #faultAt(fault: Fault, start: number, end: number): void {
    if (!this.#isTold(fault)) return;
    this.#fault(locatedFault(fault, this.#bytes, this.#bodyStart, start, end));
  }

  // A fault after which nothing else in the message counts.
  #give(fault: Fault, start: number, end: number): UpdateView {
    this.#faultAt(fault, start, end);
    return this.#nothing();
  }

  #nothing(): UpdateView {
    this.#view.sectionCount = 0;
    this.#view.attrsLength = 0;
    this.#view.endOfRib = -1;
    return this.#view;
  }

  // A fault of the attribute in hand, which is the data of a NOTIFICATION as RFC 4271 section 6.3 wants it.
  #attributeFault(fault: Fault): void {
    const start = this.#attributeStart;
    const end = this.#attributeEnd;
    if (!this.#isTold(fault)) return;
    const shown = fault.disposition === 'reset' ? { ...fault, data: this.#bytes.slice(start, end) } : fault;
    this.#faultAt(shown, start, end);
  }

  #section(family: number, reach: number, start: number, end: number): number {
    const view = this.#view;
    const i = view.sectionCount++;
    if (i === view.sectionFamily.length) growSections(view);
    view.sectionFamily[i] = family;
    view.sectionReach[i] = reach;
    view.sectionStart[i] = start;
    view.sectionEnd[i] = end;
    view.nextHopStart[i] = 0;
    view.nextHopLength[i] = 0;
    return i;
  }

  #attributes(bytes: Uint8Array, start: number, end: number, ctx: UpdateContext): void {
    let at = start;
    while (at < end) {
      const flags = bytes[at]!;
      const code = bytes[at + 1]!;
      const headerLength = (flags & EXTENDED_LENGTH) === 0 ? 3 : 4;
      this.#attributeStart = at;
      this.#attributeCount++;
      const valueStart = at + headerLength;
      const length = headerLength === 3 ? bytes[at + 2]! : readU16(bytes, at + 2);
      const valueEnd = valueStart + length;
      if (valueStart > end || valueEnd > end) {
        const mp = end - at >= 2 && (code === MP_REACH || code === MP_UNREACH);
        this.#attributeEnd = end;
        this.#attributeFault(mp ? mpCut : attributeCut);
        return;
      }
      this.#attributeEnd = valueEnd;
      if (this.#seen[code] === this.#stamp) {
        const mp = code === MP_REACH || code === MP_UNREACH;
        this.#attributeFault(mp ? mpRepeated : repeated[code]!);
      } else {
        this.#seen[code] = this.#stamp;
        this.#attribute(bytes, flags, code, valueStart, valueEnd, ctx);
      }
      at = valueEnd;
    }
  }

  #attribute(
    bytes: Uint8Array,
    flags: number,
    code: number,
    start: number,
    end: number,
    ctx: UpdateContext,
  ): void {
    const row = attributeRows[code];
    if (row === undefined) {
      this.#unknown(flags, code, start, end);
      return;
    }
    if (row.internalOnly && !ctx.internal && ctx.confederation !== true) {
      this.#attributeFault(fromOutside[code]!);
      return;
    }
    if (((flags ^ row.flags) & (OPTIONAL | TRANSITIVE)) !== 0) {
      this.#attributeFault(wrongFlags[code]!);
      return;
    }
    const fault = row.validate(bytes, start, end, ctx);
    if (fault !== undefined) {
      this.#attributeFault(fault);
      return;
    }
    switch (code) {
      case NEXT_HOP:
        this.#nextHopAt = start;
        return;
      case MP_REACH:
        this.#mpReachStart = start;
        this.#mpReachEnd = end;
        return;
      case MP_UNREACH:
        this.#mpUnreachStart = start;
        this.#mpUnreachEnd = end;
        return;
      default: {
        if (row.repair !== undefined) this.#repairable = true;
        const both = OPTIONAL | TRANSITIVE;
        this.#keep(row.flags === both ? both | (flags & PARTIAL) : row.flags, code, start, end);
      }
    }
  }

  // RFC 4271 section 5: transitive ones are passed on marked as partial, others dropped without a word.
  #unknown(flags: number, code: number, start: number, end: number): void {
    if ((flags & OPTIONAL) === 0) {
      const fault = updateFault(
        UNRECOGNIZED_WELL_KNOWN,
        'reset',
        `well-known attribute ${code} is unknown`,
        code,
      );
      this.#attributeFault(fault);
      return;
    }
    if ((flags & TRANSITIVE) !== 0) this.#keep(OPTIONAL | TRANSITIVE | PARTIAL, code, start, end);
  }

  #keep(flags: number, code: number, start: number, end: number): void {
    let i = this.#keptCount++;
    // Nearly every sender sorts, so that this loop rarely turns.
    for (; i > 0 && this.#keptCode[i - 1]! > code; i--) {
      this.#keptCode[i] = this.#keptCode[i - 1]!;
      this.#keptFlags[i] = this.#keptFlags[i - 1]!;
      this.#keptStart[i] = this.#keptStart[i - 1]!;
      this.#keptEnd[i] = this.#keptEnd[i - 1]!;
    }
    this.#keptCode[i] = code;
    this.#keptFlags[i] = flags;
    this.#keptStart[i] = start;
    this.#keptEnd[i] = end;
  }

  #keptIndex(code: number): number {
    for (let i = 0; i < this.#keptCount; i++) if (this.#keptCode[i] === code) return i;
    return -1;
  }

  // `alone`: there is nothing else in the message, so that without routes it is an End-of-RIB.
  #mpUnreach(bytes: Uint8Array, ctx: UpdateContext, alone: boolean): void {
    const start = this.#mpUnreachStart;
    const end = this.#mpUnreachEnd;
    const family = familyOf(readU16(bytes, start), bytes[start + 2]!);
    // A family we do not know or did not agree on: its NLRI has a form we need not know.
    if (family < 0 || (ctx.families & (1 << family)) === 0) return;
    if (start + 3 === end) {
      if (alone) this.#view.endOfRib = family;
    } else if (!this.#nlri(bytes, family, 0, start + 3, end, ctx)) {
      this.#faultAt(mpUnreachBroken, start + 3, end);
    }
  }

  #mpReach(bytes: Uint8Array, ctx: UpdateContext): void {
    const start = this.#mpReachStart;
    const end = this.#mpReachEnd;
    const nextHopLength = bytes[start + 3]!;
    // Behind the next hop stands one reserved byte, then NLRI.
    const nlri = start + 5 + nextHopLength;
    if (nlri > end) {
      this.#faultAt(mpNextHopLength, start, end);
      return;
    }
    if (nlri < end) this.#reachable = true;
    const family = familyOf(readU16(bytes, start), bytes[start + 2]!);
    if (family < 0 || (ctx.families & (1 << family)) === 0) return;
    const length = readNextHop(bytes, start + 4, nextHopLength, family, this.#view.nextHop, 0);
    if (length === NEXT_HOP_BAD_LENGTH) {
      this.#faultAt(mpNextHopLength, start, end);
      return;
    }
    if (length === NEXT_HOP_UNUSABLE) this.#faultAt(mpNextHopUnusable, start, end);
    const first = this.#view.sectionCount;
    if (nlri < end && !this.#nlri(bytes, family, 1, nlri, end, ctx)) {
      this.#faultAt(mpReachBroken, nlri, end);
      return;
    }
    for (let i = first; i < this.#view.sectionCount; i++) {
      this.#view.nextHopLength[i] = Math.max(length, 0);
    }
  }

  // The NLRI field [start, end) of an MP attribute into sections; false, and none, when it cannot be taken apart.
  #nlri(
    bytes: Uint8Array,
    family: number,
    reach: number,
    start: number,
    end: number,
    ctx: UpdateContext,
  ): boolean {
    const { form, addressLength } = families[family]!;
    const addPath = (ctx.addPath & (1 << family)) !== 0;
    if (form === 'opaque') return this.#opaqueNlri(bytes, family, reach, start, end, addPath ? 4 : 0);
    if (!validPrefixes(bytes, start, end, addressLength * 8, addPath)) return false;
    this.#section(family, reach, start, end);
    return true;
  }

  // Neighbours of one kind make one section: announced, withdrawn, or none where they are passed over.
  #opaqueNlri(
    bytes: Uint8Array,
    family: number,
    reach: number,
    start: number,
    end: number,
    before: number,
  ): boolean {
    const codec = nlriCodecs[family]!;
    const sectionsBefore = this.#view.sectionCount;
    let runStart = start;
    let runKind = -1;
    let skippedAt = -1;
    let withdrawnAt = -1;
    for (let at = start; at < end; ) {
      const nlri = at + before;
      const found = nlri < end ? codec.check(bytes, nlri, end, reach === 1) : 0;
      if (found === 0) {
        this.#view.sectionCount = sectionsBefore;
        return false;
      }
      let kind = reach;
      if (found > NLRI_SIZE) {
        kind = (found & NLRI_SKIP) === 0 ? 0 : -1;
        if (kind < 0 && skippedAt < 0) skippedAt = nlri;
        if (kind === 0 && withdrawnAt < 0) withdrawnAt = nlri;
      }
      if (kind !== runKind) {
        if (runKind >= 0) this.#section(family, runKind, runStart, at);
        runKind = kind;
        runStart = at;
      }
      at = nlri + (found & NLRI_SIZE);
    }
    if (runKind >= 0) this.#section(family, runKind, runStart, end);
    // The first of each kind stands for all.
    if (withdrawnAt >= 0) this.#faultAt(reachWithdrawn[family]!, withdrawnAt, end);
    if (skippedAt >= 0) this.#faultAt((reach === 1 ? reachSkipped : unreachSkipped)[family]!, skippedAt, end);
    return true;
  }

  #classic(bytes: Uint8Array, start: number, end: number): void {
    const i = this.#section(IPV4, 1, start, end);
    if (this.#nextHopAt < 0) return;
    const { nextHop, nextHopStart, nextHopLength } = this.#view;
    nextHopStart[i] = CLASSIC_NEXT_HOP;
    nextHopLength[i] = 4;
    for (let k = 0; k < 4; k++) nextHop[CLASSIC_NEXT_HOP + k] = bytes[this.#nextHopAt + k]!;
  }

  #mandatory(ctx: UpdateContext): void {
    if (this.#seen[ORIGIN] !== this.#stamp) this.#fault(missing[ORIGIN]!);
    if (this.#seen[AS_PATH] !== this.#stamp) this.#fault(missing[AS_PATH]!);
    // RFC 4271 section 5: required from internal peers.
    if (ctx.internal && this.#seen[LOCAL_PREF] !== this.#stamp) this.#fault(missing[LOCAL_PREF]!);
  }

  #finish(bytes: Uint8Array, ctx: UpdateContext): UpdateView {
    const view = this.#view;
    if (view.fault !== undefined) {
      const others = this.#attributeCount > (this.#mpUnreachStart >= 0 ? 1 : 0);
      // RFC 7606 section 5.2: nothing to withdraw, so we cannot be sure that we read the message right.
      if (view.fault.disposition === 'withdraw' && !this.#reachable && others)
        return this.#give(nothingReachable, this.#bodyStart, this.#bodyEnd);
      if (view.fault.disposition === 'reset') return this.#nothing();
    }
    let announced = false;
    for (let i = 0; i < view.sectionCount; i++) if (view.sectionReach[i] === 1) announced = true;
    if (announced && this.#repairable) this.#repair(bytes);
    if (announced && !this.#mustWithdraw()) this.#emit(bytes, ctx);
    if (this.#mustWithdraw()) {
      for (let i = 0; i < view.sectionCount; i++) view.sectionReach[i] = 0;
      view.attrsLength = 0;
    }
    return view;
  }

  #mustWithdraw(): boolean {
    return this.#view.fault?.disposition === 'withdraw';
  }

  // Takes out of the kept values what must not be passed on with the families that are announced.
  #repair(bytes: Uint8Array): void {
    let announced = 0;
    for (let i = 0; i < this.#view.sectionCount; i++) {
      if (this.#view.sectionReach[i] === 1) announced |= 1 << this.#view.sectionFamily[i]!;
    }
    for (let i = 0; i < this.#keptCount; i++) {
      const code = this.#keptCode[i]!;
      const start = this.#keptStart[i]!;
      const end = this.#keptEnd[i]!;
      const found = attributeRows[code]?.repair?.(bytes, start, end, announced);
      this.#repaired[code] = found?.value;
      if (found === undefined) continue;
      this.#repairedCount++;
      if (found.fault !== undefined) this.#faultAt(found.fault, start, end);
    }
  }

  // Writes what was kept in canonical form.
  #emit(bytes: Uint8Array, ctx: UpdateContext): void {
    const out = this.#view.attrs;
    let at = 0;
    for (let i = 0; i < this.#keptCount; i++) {
      const code = this.#keptCode[i]!;
      const start = this.#keptStart[i]!;
      const end = this.#keptEnd[i]!;
      if (!ctx.asn4) {
        if (code === AS4_PATH || code === AS4_AGGREGATOR) continue;
        if (code === AS_PATH || code === AGGREGATOR) {
          at =
            code === AS_PATH ? this.#emitOldPath(bytes, i, at, ctx) : this.#emitOldAggregator(bytes, i, at);
          continue;
        }
      }
      if (this.#repairedCount > 0 && this.#repaired[code] !== undefined) {
        const value = this.#repaired[code];
        at = putHeader(out, at, this.#keptFlags[i]!, code, value.length);
        out.set(value, at);
        at += value.length;
        continue;
      }
      at = putHeader(out, at, this.#keptFlags[i]!, code, end - start);
      for (let from = start; from < end; from++) out[at++] = bytes[from]!;
    }
    // The attributes of a message fit, but widened ones may not.
    if (!ctx.asn4 && at > SET_LENGTH_MAX) this.#fault(pathTooLong);
    this.#view.attrsLength = at;
  }

  // RFC 6793 section 4.2.3: AS4_PATH counts unless AGGREGATOR shows that a 2-octet speaker aggregated later.
  #emitOldPath(bytes: Uint8Array, index: number, at: number, ctx: UpdateContext): number {
    const out = this.#view.attrs;
    const start = this.#keptStart[index]!;
    const end = this.#keptEnd[index]!;
    const as4 = this.#keptIndex(AS4_PATH);
    if (as4 >= 0 && !this.#aggregatedByOld(bytes)) {
      const merged = mergeAs4Path(bytes, start, end, this.#keptStart[as4]!, this.#keptEnd[as4]!);
      if (merged !== undefined && merged.length <= 0xffff) {
        const fault = checkFirstAsn(merged, 0, merged.length, 4, ctx);
        if (fault !== undefined) this.#faultAt(fault, this.#keptStart[as4]!, this.#keptEnd[as4]!);
        const value = putHeader(out, at, this.#keptFlags[index]!, AS_PATH, merged.length);
        out.set(merged, value);
        return value + merged.length;
      }
    }
    // Widened behind the longest header, then moved up against the one it needs.
    const widened = at + 4;
    const length = widenAsPath(bytes, start, end, out, widened) - widened;
    if (length > 0xffff) {
      this.#fault(pathTooLong);
      return at;
    }
    const value = putHeader(out, at, this.#keptFlags[index]!, AS_PATH, length);
    if (value !== widened) out.copyWithin(value, widened, widened + length);
    return value + length;
  }

  #aggregatedByOld(bytes: Uint8Array): boolean {
    const aggregator = this.#keptIndex(AGGREGATOR);
    if (aggregator < 0 || this.#keptIndex(AS4_AGGREGATOR) < 0) return false;
    return readU16(bytes, this.#keptStart[aggregator]!) !== AS_TRANS;
  }

  #emitOldAggregator(bytes: Uint8Array, index: number, at: number): number {
    const out = this.#view.attrs;
    const as4 = this.#keptIndex(AS4_AGGREGATOR);
    const use4 = as4 >= 0 && !this.#aggregatedByOld(bytes);
    let from = use4 ? this.#keptStart[as4]! : this.#keptStart[index]!;
    at = putHeader(out, at, this.#keptFlags[index]!, AGGREGATOR, 8);
    if (!use4) {
      out[at++] = 0;
      out[at++] = 0;
    }
    for (let i = use4 ? 8 : 6; i > 0; i--) out[at++] = bytes[from++]!;
    return at;
  }
}

function putHeader(out: Uint8Array, at: number, flags: number, code: number, length: number): number {
  out[at] = length > 255 ? flags | EXTENDED_LENGTH : flags;
  out[at + 1] = code;
  if (length <= 255) {
    out[at + 2] = length;
    return at + 3;
  }
  out[at + 2] = length >>> 8;
  out[at + 3] = length;
  return at + 4;
}

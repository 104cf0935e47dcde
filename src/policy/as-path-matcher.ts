// Runs an AS path pattern over the bytes of a canonical AS_PATH value (4-octet ASNs). The tree becomes a
// program of a Thompson automaton, run with a list of threads (Pike), so that time is bounded by path length
// times program size whatever the pattern; `^` and `$` are checked where a thread passes them. All arrays are
// made once.

import { assert } from '../lib/assert.ts';
import { readU32 } from '../lib/bytes.ts';
import { AS_CONFED_SEQUENCE, AS_CONFED_SET, AS_SET } from '../wire/bgp/attribute/as-path.ts';
import type { AsPathNode } from './as-path-pattern.ts';

// Instructions. `x` is an operand: a target, or for ASN the index of its ranges; SPLIT also has `y`.
const ASN = 0;
const ANY = 1;
const SPLIT = 2;
const JUMP = 3;
const AT_START = 4;
const AT_END = 5;
const MATCH = 6;
const DIGITS = 7;
const AT_EDGE = 8;

/** Edges between two places of a path, as bits. */
const SET_BEGIN = 1;
const SET_END = 2;
const CONFED_BEGIN = 4;
const CONFED_END = 8;
const edgeBits = {
  setBegin: SET_BEGIN,
  setEnd: SET_END,
  confedBegin: CONFED_BEGIN,
  confedEnd: CONFED_END,
} as const;

/** ASNs of which the answer of an expression over digits is remembered; then all is forgotten. */
const MAX_REMEMBERED = 1 << 16;

/** The largest program; a pattern of 4096 characters stays below it. */
const MAX_INSTRUCTIONS = 16_384;

interface Program {
  op: number[];
  x: number[];
  y: number[];
  ranges: (readonly number[])[];
  expressions: RegExp[];
}

function emit(program: Program, op: number, x = 0, y = 0): number {
  program.op.push(op);
  program.x.push(x);
  program.y.push(y);
  return program.op.length - 1;
}

function compileNode(program: Program, node: AsPathNode): void {
  switch (node.kind) {
    case 'asn':
      emit(program, ASN, program.ranges.push(node.ranges) - 1);
      return;
    case 'digits':
      emit(program, DIGITS, program.expressions.push(node.expression) - 1);
      return;
    case 'edge':
      emit(program, AT_EDGE, edgeBits[node.edge]);
      return;
    case 'any':
      emit(program, ANY);
      return;
    case 'empty':
      return;
    case 'start':
      emit(program, AT_START);
      return;
    case 'end':
      emit(program, AT_END);
      return;
    case 'sequence':
      for (const part of node.nodes) compileNode(program, part);
      return;
    case 'either':
      compileEither(program, node.nodes);
      return;
    case 'repeat':
      compileRepeat(program, node);
      return;
  }
}

function compileEither(program: Program, nodes: readonly AsPathNode[]): void {
  const jumps: number[] = [];
  for (const [index, node] of nodes.entries()) {
    const isLast = index === nodes.length - 1;
    const split = isLast ? -1 : emit(program, SPLIT);
    if (split >= 0) program.x[split] = split + 1;
    compileNode(program, node);
    if (split < 0) continue;
    jumps.push(emit(program, JUMP));
    program.y[split] = program.op.length;
  }
  for (const jump of jumps) program.x[jump] = program.op.length;
}

function compileRepeat(program: Program, node: AsPathNode & { kind: 'repeat' }): void {
  if (node.least === 1) {
    const first = program.op.length;
    compileNode(program, node.node);
    emit(program, SPLIT, first, program.op.length + 1);
    return;
  }
  const split = emit(program, SPLIT);
  program.x[split] = split + 1;
  compileNode(program, node.node);
  if (node.unbounded) emit(program, JUMP, split);
  program.y[split] = program.op.length;
}

function beginOf(segment: number): number {
  if (segment === AS_SET) return SET_BEGIN;
  return segment === AS_CONFED_SEQUENCE || segment === AS_CONFED_SET ? CONFED_BEGIN : 0;
}

function endOf(segment: number): number {
  if (segment === AS_SET) return SET_END;
  return segment === AS_CONFED_SEQUENCE || segment === AS_CONFED_SET ? CONFED_END : 0;
}

/** More alternatives than this are as good as none. */
const MAX_REQUIRED = 64;

/** Lists of ASNs: a path that matches has at least one of each list. */
function requiredAsns(node: AsPathNode): readonly (readonly number[])[] {
  switch (node.kind) {
    case 'asn': {
      const asns = listedAsns(node.ranges);
      return asns === undefined ? [] : [asns];
    }
    case 'sequence':
      return node.nodes.flatMap(requiredAsns);
    case 'either': {
      // Of each alternative its shortest list: one of all these must be there.
      const shortest = node.nodes.map((part) =>
        requiredAsns(part).reduce<readonly number[] | undefined>(
          (best, list) => (best === undefined || list.length < best.length ? list : best),
          undefined,
        ),
      );
      const all = shortest.flatMap((list) => list ?? []);
      return shortest.includes(undefined) || all.length > MAX_REQUIRED ? [] : [all];
    }
    case 'repeat':
      return node.least === 1 ? requiredAsns(node.node) : [];
    default:
      return [];
  }
}

function listedAsns(ranges: readonly number[]): readonly number[] | undefined {
  const asns: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i + 1]! - ranges[i]! + asns.length >= MAX_REQUIRED) return undefined;
    for (let asn = ranges[i]!; asn <= ranges[i + 1]!; asn++) asns.push(asn);
  }
  return asns;
}

export class AsPathMatcher {
  readonly #op: Uint8Array;
  readonly #x: Uint16Array;
  readonly #y: Uint16Array;
  readonly #ranges: readonly Uint32Array[];
  readonly #expressions: readonly RegExp[];
  readonly #remembered: readonly Map<number, boolean>[];
  readonly #anchored: boolean;
  /** Where threads go on at the present position, and the instructions there that wait for an ASN. */
  readonly #pending: Uint16Array;
  readonly #waiting: Uint16Array;
  #waitingCount = 0;
  /** At which position an instruction was last reached, so that each is taken once. */
  readonly #seen: Uint32Array;
  #position = 0;
  readonly #stack: Uint16Array;
  /** Lists of ASNs: every path that matches has at least one ASN of each. */
  readonly required: readonly (readonly number[])[];

  constructor(node: AsPathNode) {
    this.required = requiredAsns(node);
    const program: Program = { op: [], x: [], y: [], ranges: [], expressions: [] };
    compileNode(program, node);
    emit(program, MATCH);
    const size = program.op.length;
    assert(size <= MAX_INSTRUCTIONS, `AS path program of ${size} instructions`);
    this.#op = Uint8Array.from(program.op);
    this.#x = Uint16Array.from(program.x);
    this.#y = Uint16Array.from(program.y);
    this.#ranges = program.ranges.map((ranges) => Uint32Array.from(ranges));
    this.#expressions = program.expressions;
    this.#remembered = program.expressions.map(() => new Map());
    this.#anchored = this.#op[0] === AT_START;
    this.#pending = new Uint16Array(size);
    this.#waiting = new Uint16Array(size);
    this.#seen = new Uint32Array(size);
    this.#stack = new Uint16Array(2 * size + 2);
  }

  /** Whether the AS_PATH value in [start, end) matches; an empty range is the empty path. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    let pendingCount = 0;
    let segmentEnd = start;
    let type = 0;
    let isSet = false;
    let first = true;
    for (let at = start; ; first = false) {
      let edge = 0;
      const last = at >= end;
      if (at === segmentEnd) {
        edge = endOf(type);
        if (!last) {
          type = bytes[at]!;
          edge |= beginOf(type);
          isSet = type === AS_SET || type === AS_CONFED_SET;
          segmentEnd = at + 2 + 4 * bytes[at + 1]!;
          at += 2;
        }
      }
      if (this.#expand(pendingCount, first, last, edge)) return true;
      if (last || (this.#waitingCount === 0 && this.#anchored)) return false;
      // One place of the path: a whole set, or one ASN of a sequence.
      const placeEnd = isSet ? segmentEnd : at + 4;
      pendingCount = 0;
      for (let i = 0; i < this.#waitingCount; i++) {
        const here = this.#waiting[i]!;
        const op = this.#op[here];
        if (op === ASN && !this.#accepts(this.#x[here]!, bytes, at, placeEnd)) continue;
        if (op === DIGITS && !this.#hasDigits(this.#x[here]!, bytes, at, placeEnd)) continue;
        this.#pending[pendingCount++] = here + 1;
      }
      at = placeEnd;
    }
  }

  /**
   * Follows all threads, and a new one from the beginning, to the instructions that wait. True on a match.
   */
  #expand(pendingCount: number, first: boolean, last: boolean, edge: number): boolean {
    if (++this.#position === 0xffffffff) {
      this.#seen.fill(0);
      this.#position = 1;
    }
    this.#waitingCount = 0;
    const stack = this.#stack;
    for (let i = -1; i < pendingCount; i++) {
      let depth = 1;
      stack[0] = i < 0 ? 0 : this.#pending[i]!;
      while (depth > 0) {
        const at = stack[--depth]!;
        if (this.#seen[at] === this.#position) continue;
        this.#seen[at] = this.#position;
        switch (this.#op[at]) {
          case MATCH:
            return true;
          case JUMP:
            stack[depth++] = this.#x[at]!;
            break;
          case SPLIT:
            stack[depth++] = this.#x[at]!;
            stack[depth++] = this.#y[at]!;
            break;
          case AT_START:
            if (first) stack[depth++] = at + 1;
            break;
          case AT_END:
            if (last) stack[depth++] = at + 1;
            break;
          case AT_EDGE:
            if ((edge & this.#x[at]!) !== 0) stack[depth++] = at + 1;
            break;
          default:
            this.#waiting[this.#waitingCount++] = at;
        }
      }
    }
    return false;
  }

  /** Whether the digits of any ASN in [from, to) are those asked for; each ASN is asked once. */
  #hasDigits(index: number, bytes: Uint8Array, from: number, to: number): boolean {
    const remembered = this.#remembered[index]!;
    for (let at = from; at < to; at += 4) {
      const asn = readU32(bytes, at);
      let answer = remembered.get(asn);
      if (answer === undefined) {
        if (remembered.size >= MAX_REMEMBERED) remembered.clear();
        answer = this.#expressions[index]!.test(String(asn));
        remembered.set(asn, answer);
      }
      if (answer) return true;
    }
    return false;
  }

  /** Whether any ASN in [from, to) is in the ranges. */
  #accepts(index: number, bytes: Uint8Array, from: number, to: number): boolean {
    const ranges = this.#ranges[index]!;
    for (let at = from; at < to; at += 4) {
      const asn = readU32(bytes, at);
      let low = 0;
      let high = ranges.length / 2 - 1;
      while (low <= high) {
        const middle = (low + high) >>> 1;
        if (asn < ranges[2 * middle]!) high = middle - 1;
        else if (asn > ranges[2 * middle + 1]!) low = middle + 1;
        else return true;
      }
    }
    return false;
  }
}

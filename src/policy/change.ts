// The changes a rule makes to a route. Each reads the attributes as they are so far (the input's, or the
// output's after an earlier change), writes the new canonical form into the spare writer and swaps the two.
//
// A change that cannot be made leaves the attributes as they are: a path or list that would outgrow the 65535
// bytes of an attribute, which no message could carry.

import { type ByteWriter, readU32, sameBytes } from '../lib/bytes.ts';
import { AS_SEQUENCE } from '../wire/bgp/attribute/as-path.ts';
import {
  attributeFlags,
  findAttribute,
  findAttributeEnd,
  prependAsPath,
  removeAttribute,
  setAttribute,
  setOrigin,
  setU32Attribute,
  u32Attribute,
} from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, LOCAL_PREF, MED, PARTIAL } from '../wire/bgp/attribute/table.ts';
import {
  type CommunityEdit,
  type CompiledPolicy,
  DEFAULT_LOCAL_PREF,
  EDIT_COMMUNITIES,
  IGP_METRIC,
  type PolicyInput,
  type PolicyOutput,
  PREPEND,
  PREPEND_FIRST,
  RELATIVE,
  REMOVE_MED,
  SET_LOCAL_PREF,
  SET_MED,
  SET_NEXT_HOP,
  SET_ORIGIN,
  SET_TAG,
  SET_WEIGHT,
} from './program.ts';

/** Applies change `index` to the route as changed so far. */
export function applyChange(
  policy: CompiledPolicy,
  index: number,
  input: PolicyInput,
  out: PolicyOutput,
): void {
  const arg = policy.changeArg[index]!;
  switch (policy.change[index]) {
    case SET_WEIGHT:
      out.weight = policy.changeLow[index]!;
      return;
    case SET_TAG:
      out.tag = policy.changeLow[index]!;
      return;
    case SET_NEXT_HOP:
      out.nextHop = policy.changeLow[index]!;
      if (arg >= 0) out.nextHopAddress = policy.addresses[arg]!;
      return;
  }
  const bytes = out.attrsChanged ? out.attrs.bytes : input.attrs;
  const start = out.attrsChanged ? 0 : input.start;
  const end = out.attrsChanged ? out.attrs.length : input.end;
  const spare = out.spare.reset();
  if (!writeChanged(policy, index, input, spare, out.list, bytes, start, end)) return;
  // What leaves the bytes as they were is no change: the attribute set keeps its id.
  if (spare.length === end - start && sameBytes(spare.bytes, 0, bytes, start, spare.length)) return;
  out.spare = out.attrs;
  out.attrs = spare;
  out.attrsChanged = true;
}

/** Writes the attributes of bytes [start, end) with the change made; false when it cannot be made. */
function writeChanged(
  policy: CompiledPolicy,
  index: number,
  input: PolicyInput,
  into: ByteWriter,
  list: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const arg = policy.changeArg[index]!;
  const value = policy.changeLow[index]!;
  switch (policy.change[index]) {
    case SET_LOCAL_PREF: {
      const present = u32Attribute(bytes, start, end, LOCAL_PREF);
      const pref = adjusted(arg, value, present < 0 ? DEFAULT_LOCAL_PREF : present);
      setU32Attribute(into, bytes, start, end, LOCAL_PREF, pref);
      return true;
    }
    case SET_MED: {
      const present = u32Attribute(bytes, start, end, MED);
      const med = arg === IGP_METRIC ? input.igpMetric : adjusted(arg, value, Math.max(present, 0));
      setU32Attribute(into, bytes, start, end, MED, med);
      return true;
    }
    case REMOVE_MED:
      removeAttribute(into, bytes, start, end, MED);
      return true;
    case SET_ORIGIN:
      setOrigin(into, bytes, start, end, value);
      return true;
    case PREPEND:
      return prependAsPath(into, bytes, start, end, value === 0 ? input.localAsn : value, arg);
    case PREPEND_FIRST: {
      const first = firstAsn(bytes, start, end);
      return first >= 0 && prependAsPath(into, bytes, start, end, first, arg);
    }
    case EDIT_COMMUNITIES:
      return editCommunities(policy.edits[arg]!, into, list, bytes, start, end);
    default:
      return false;
  }
}

/** The ASN that stands first in the path, -1 when it does not begin with a sequence. */
function firstAsn(bytes: Uint8Array, start: number, end: number): number {
  const at = findAttribute(bytes, start, end, AS_PATH);
  if (at < 0 || findAttributeEnd(bytes, start, end, AS_PATH) === at) return -1;
  return bytes[at] === AS_SEQUENCE ? readU32(bytes, at + 2) : -1;
}

/** `value` itself or added to `present`, kept within 32 bits. */
function adjusted(how: number, value: number, present: number): number {
  if (how !== RELATIVE) return value;
  return Math.min(Math.max(present + value, 0), 0xffffffff);
}

/**
 * Edits a list attribute: what is removed goes by pattern, what is added comes behind the rest, each only if it is
 * not there yet. An empty list takes the attribute away. The list is built in a writer that is reused.
 */
function editCommunities(
  edit: CommunityEdit,
  into: ByteWriter,
  list: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const { attribute, width, add, remove } = edit;
  const from = findAttribute(bytes, start, end, attribute);
  list.reset();
  let flags = attributeFlags(attribute);
  if (from >= 0) {
    const to = findAttributeEnd(bytes, start, end, attribute);
    flags |= bytes[from - (to - from > 255 ? 4 : 3)]! & PARTIAL;
    for (let at = from; !edit.replace && at < to; at += width) {
      if (remove === undefined || !remove.has(bytes, at)) list.copy(bytes, at, at + width);
    }
  }
  for (let at = 0; at < add.length; at += width) {
    if (!holdsItem(list, add, at, width)) list.copy(add, at, at + width);
  }
  if (list.length > 0xffff) return false;
  if (list.length === 0) removeAttribute(into, bytes, start, end, attribute);
  else setAttribute(into, bytes, start, end, attribute, flags, list.bytes, 0, list.length);
  return true;
}

function holdsItem(list: ByteWriter, item: Uint8Array, itemAt: number, width: number): boolean {
  for (let at = 0; at < list.length; at += width) {
    if (sameBytes(list.bytes, at, item, itemAt, width)) return true;
  }
  return false;
}

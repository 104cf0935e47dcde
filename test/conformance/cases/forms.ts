// For every known attribute: flags wrong each way, bits that must be ignored, wrong lengths, past the end, twice.

import { type Attribute, attribute, EXTENDED, hex, LOCAL_PREF, PARTIAL } from '../bytes.ts';
import {
  announce,
  type Case,
  type Check,
  type Expectation,
  type Ground,
  having,
  type SessionKind,
} from '../case.ts';
import { accept, discard, type Known, knownAttributes, withdraw } from './known.ts';

const FLAGS =
  'RFC 7606 3 (c): "If the value of either the Optional or Transitive bits … is in conflict with their specified values, then the attribute MUST be treated as malformed"';
const LOW_BITS =
  'RFC 4271 4.3: "The lower-order four bits of the Attribute Flags octet are unused … and MUST be ignored when received"';
const PARTIAL_BIT =
  'RFC 7606 3 (c): names "either the Optional or Transitive bits", and so not the Partial bit';
const LENGTH_BIT =
  'RFC 4271 4.3: "the Extended Length bit … defines whether the Attribute Length is one octet (if set to 0) or two octets"';
const TWICE =
  'RFC 7606 3 (g): "all the occurrences of the attribute other than the first one SHALL be discarded"';
const PAST_END =
  'RFC 7606 4: "the length of the last encountered path attribute would cause the Total Attribute Length to be exceeded … treat-as-withdraw"';

/** The attribute is last, so that what is wrong with its end is at the end. */
function last(ground: Ground, one: Attribute): Uint8Array {
  const list = having(ground).filter((other) => other.type !== one.type);
  return announce(ground, [...list, one]);
}

/** Whether watchers are to see the attribute with this value. */
function carries(known: Known, value: (ground: Ground) => readonly number[]): Check {
  return (route, watcher, ground) => {
    const due = known.carried === 'all' || (known.carried === 'internal' && watcher === 'internal');
    if (!due) return undefined;
    return route.attributes.get(known.type) === hex(value(ground))
      ? undefined
      : `${known.name} is not as sent`;
  };
}

const isInternal = (session: SessionKind): boolean => session === 'internal' || session === 'oldInternal';
const isOld = (session: SessionKind): boolean => session === 'old' || session === 'oldInternal';

/** What becomes of a valid attribute: passed, or dropped where it does not belong. */
function valid(known: Known, session: SessionKind): readonly Expectation[] {
  const [first] = known.malformed(session);
  const outside = !isInternal(session) && [LOCAL_PREF, 9, 10].includes(known.type);
  if (outside) return discard(known.type);
  // Attributes that a speaker may decline to pass: AS4_* from a 4-octet speaker, AIGP, Prefix-SID.
  const shy = first?.kind === 'discard' && known.carried === undefined && !isOld(session);
  return [{ kind: 'accept', check: carries(known, known.value) }, ...(shy ? discard(known.type) : [])];
}

function ofAttribute(known: Known, session: SessionKind): Case[] {
  const category = known.newer === true ? 'malformed newer attributes' : 'malformed core attributes';
  const head = (what: string) => ({
    kind: 'update' as const,
    id: `${known.name.toLowerCase().replaceAll('_', '-')}.${what}.${session}`,
    category,
    session,
    family: 'ipv4' as const,
  });
  const as = (flags: number) => (ground: Ground) =>
    last(ground, attribute(flags, known.type, known.value(ground)));
  const flagsReaction = known.flagsToo?.(session) ?? withdraw;
  const words = (flags: number) => `flags 0x${flags.toString(16)}`;
  const wrongFlags = [known.flags ^ 0x80, known.flags ^ 0x40, known.flags ^ 0xc0].map(
    (flags): Case => ({
      ...head(`flags-${flags.toString(16).padStart(2, '0')}`),
      title: `${known.name} with ${words(flags)}`,
      clause: FLAGS,
      send: as(flags),
      expect: flagsReaction,
    }),
  );
  const harmless: readonly [what: string, bits: number, clause: string][] = [
    ['low-bits', 0x0f, LOW_BITS],
    ['partial', PARTIAL, PARTIAL_BIT],
    ['extended-length', EXTENDED, LENGTH_BIT],
  ];
  const odd = harmless.map(
    ([what, bits, clause]): Case => ({
      ...head(what),
      valid: true,
      category: 'odd but valid attributes',
      title: `${known.name} with ${words(known.flags | bits)}`,
      clause,
      send: as(known.flags | bits),
      expect: valid(known, session),
    }),
  );
  const lengths = Array.from(
    { length: known.lengthCount },
    (_, at): Case => ({
      ...head(`length-${at}`),
      title: `${known.name} of wrong length, form ${at}`,
      clause: known.lengthClause,
      send: (ground: Ground) => last(ground, attribute(known.flags, known.type, known.lengths(ground)[at]!)),
      expect: known.malformed(session),
    }),
  );
  const ends = [1, 200].map(
    (more): Case => ({
      ...head(`past-end-${more}`),
      title: `${known.name} whose length is ${more} beyond the attributes`,
      clause: PAST_END,
      send: (ground: Ground) => {
        const value = known.value(ground);
        return last(ground, { flags: known.flags, type: known.type, value, length: value.length + more });
      },
      expect: withdraw,
    }),
  );
  return [...wrongFlags, ...odd, ...lengths, ...ends, twice(known, session, head('twice'))];
}

function twice(
  known: Known,
  session: SessionKind,
  head: Pick<Case, 'id' | 'session'> & { family: 'ipv4' },
): Case {
  return {
    ...head,
    kind: 'update',
    category: 'repeated attributes',
    title: `${known.name} twice, with another value`,
    clause: TWICE,
    send: (ground: Ground) => {
      const first = attribute(known.flags, known.type, known.value(ground));
      const second = attribute(known.flags, known.type, known.second ?? known.value(ground));
      const list = having(ground).filter((other) => other.type !== known.type);
      return announce(ground, [...list, first, second]);
    },
    expect: known.name === 'AS_PATH' ? accept : valid(known, session),
  };
}

export function formCases(): Case[] {
  return knownAttributes.flatMap((known) => known.sessions.flatMap((session) => ofAttribute(known, session)));
}

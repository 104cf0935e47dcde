// Guests for people: an address a line, and one guest in detail.

import type { GuestAddressView, GuestCountsView, GuestsView, GuestView, GuestWhyView } from '../api/views.ts';
import { age, type Column, details, table } from './table.ts';
import { type Colour, paint, type Terminal } from './terminal.ts';

type Ink = Pick<Terminal, 'colour'>;

const colours: Readonly<Record<GuestView['state'], Colour>> = {
  attached: 'green',
  learned: 'green',
  waiting: 'dim',
  expected: 'yellow',
  moved: 'dim',
  frozen: 'red',
};

const stateText = (state: GuestView['state'], ink: Ink): string => paint(ink, colours[state], state);

/** One address of a guest, or a guest without any. */
interface Row {
  guest: GuestView;
  address?: GuestAddressView;
}

export function renderGuests({ guests }: GuestsView, ink: Ink): string {
  if (guests.length === 0) return 'no guests\n';
  const rows = guests.flatMap((guest): Row[] =>
    guest.addresses.length === 0 ? [{ guest }] : guest.addresses.map((address) => ({ guest, address })),
  );
  const columns: Column<Row>[] = [
    { title: 'Name', of: ({ guest }) => guest.name },
    { title: 'Guest', of: ({ guest }) => guest.guest ?? '' },
    { title: 'Source', of: ({ guest }) => guest.source },
    { title: 'Bridge', of: ({ guest }) => guest.bridge ?? '' },
    { title: 'Port', of: ({ guest, address }) => address?.port ?? guest.port ?? '' },
    { title: 'MAC', of: ({ guest, address }) => address?.mac ?? guest.mac ?? '' },
    { title: 'Address', of: ({ address }) => address?.address ?? '' },
    { title: 'State', of: ({ guest, address }) => stateText((address ?? guest).state, ink) },
    { title: 'Since', of: ({ guest, address }) => age((address ?? guest).sinceSeconds), align: 'right' },
    { title: 'From', of: ({ guest }) => guest.expected?.from ?? '' },
    { title: 'Why', of: ({ guest, address }) => (address ?? guest).reason.text },
  ];
  return table(rows, columns);
}

export function renderGuest(guest: GuestView, ink: Ink): string {
  const head = details([
    ['name', guest.name],
    ['guest', guest.guest],
    ['source', guest.source],
    ['port', guest.port],
    ['bridge', guest.bridge],
    ['MAC', guest.mac],
    ['state', `${stateText(guest.state, ink)} since ${age(guest.sinceSeconds)}: ${guest.reason.text}`],
    ['expected', expectedText(guest.expected)],
    ['may learn', guest.allowed.join(' ')],
    ['at most', guest.maxAddresses],
    ['beaten by', guest.shadowedBy],
    ['refused', countsText(guest.refused)],
    ['dropped', countsText(guest.dropped)],
  ]);
  const addresses = table(guest.addresses, [
    { title: 'Address', of: (one) => one.address },
    { title: 'State', of: (one) => stateText(one.state, ink) },
    { title: 'Since', of: (one) => age(one.sinceSeconds), align: 'right' },
    { title: 'Moves', of: (one) => `${one.sequence}${one.fresh ? ', fresh' : ''}`, align: 'right' },
    { title: 'Why', of: (one) => one.reason.text },
  ]);
  return [head, addresses].filter(Boolean).join('\n');
}

function expectedText(expected: GuestView['expected']): string | undefined {
  if (expected === undefined) return undefined;
  const from = expected.from === undefined ? '' : `from ${expected.from} `;
  const qmp = expected.qmp === undefined ? '' : `, RESUME on ${expected.qmp}`;
  return `${from}for ${age(expected.remainingSeconds)} more${qmp}`;
}

function countsText(counts: Readonly<Record<string, number>> | undefined): string | undefined {
  if (counts === undefined) return undefined;
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

/** One line of the status. */
export function guestsSummary(counts: GuestCountsView, ink: Ink): string {
  const states = (Object.entries(counts.addresses) as [GuestView['state'], number][]).flatMap(
    ([state, count]) => {
      if (count === 0) return [];
      return [state === 'frozen' ? paint(ink, 'red', `${count} frozen`) : `${count} ${state}`];
    },
  );
  const many = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;
  return [many(counts.bindings, 'binding'), many(counts.ports, 'port'), ...states].join(', ');
}

/** What is not as it should be, for the status; undefined where all is well. */
export function guestsTrouble(counts: GuestCountsView, ink: Ink): string | undefined {
  const { failures, refused, dropped, unheard } = counts;
  if (failures !== undefined) {
    const more = failures.length > 3 ? [`and ${failures.length - 3} more`] : [];
    return paint(ink, 'red', [...failures.slice(0, 3), ...more].join('; '));
  }
  const parts = [
    Object.keys(refused).length > 0 && `refused ${countsText(refused)}`,
    dropped !== undefined && `dropped ${countsText(dropped)}`,
    unheard !== undefined && `frames lost ${unheard} times`,
  ].filter(Boolean);
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** The guest's part of an explanation: it comes before its routes. */
export function renderGuestWhy(why: GuestWhyView): string {
  const head = details([
    ['guest', why.guest],
    ['binding', why.binding],
    ['port', why.port],
    ['MAC', why.mac],
    ['since', why.since],
    ['moves', why.sequence === undefined ? undefined : `${why.sequence}${why.fresh ? ', fresh' : ''}`],
    ['elsewhere', why.heardSequence === undefined ? undefined : `announced after ${why.heardSequence} moves`],
    ['expected', expectedText(why.expected)],
  ]);
  const refusals = table(why.refusals, [
    { title: 'Refused', of: (one) => one.reason.code },
    { title: 'Times', of: (one) => String(one.count), align: 'right' },
    { title: 'Ago', of: (one) => age(one.ageSeconds), align: 'right' },
    { title: 'Port', of: (one) => one.port },
    { title: 'MAC', of: (one) => one.mac ?? '' },
    { title: 'Why', of: (one) => one.reason.text },
  ]);
  return [`${why.summary}\n`, head, refusals].filter(Boolean).join('\n');
}

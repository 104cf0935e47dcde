// Roles and the Only to Customer attribute (RFC 9234): who may be what to whom, and which routes are leaks. Watchers
// have no roles, so what they see is what the daemon has made of the route on its way in.

import { attribute, hex, OPTIONAL_TRANSITIVE, type OpenParts, OTC, open, u32 } from '../bytes.ts';
import {
  announce,
  base,
  type Case,
  type Check,
  type Expectation,
  having,
  type SessionKind,
} from '../case.ts';
import { RANGES } from '../daemons.ts';
import { reset, withdraw } from './known.ts';
import { stands } from './open.ts';

const ROLE_PAIRS =
  'RFC 9234 4.2: "If the observed Role pair is not in the above table, then the receiver MUST reject the connection using the Role Mismatch Notification (code 2, subcode 11)"';
const SEVERAL =
  'RFC 9234 4.2: "If the BGP speaker receives multiple but identical BGP Role Capabilities with the same value in each, then the speaker considers them to be a single BGP Role Capability … if … different values … MUST reject"';
const LEAK_CUSTOMER =
  'RFC 9234 5: "If a route with the OTC Attribute is received from a Customer or an RS-Client, then it is a route leak and MUST be considered ineligible"';
const LEAK_PEER =
  'RFC 9234 5: "If a route with the OTC Attribute is received from a Peer … and the Attribute has a value that is not equal to the remote … AS number, then it is a route leak and MUST be considered ineligible"';
const ADDED =
  'RFC 9234 5: "If a route is received from a Provider, a Peer, or an RS and the OTC Attribute is not present, then it MUST be added with a value equal to the AS number of the remote AS"';
const MALFORMED =
  'RFC 9234 5: "The OTC Attribute is considered malformed if the length value is not 4 … treat-as-withdraw"';
const UNCHANGED = 'RFC 9234 5: "Once the OTC Attribute has been set, it MUST be preserved unchanged"';

const otc = (value: readonly number[]) => attribute(OPTIONAL_TRANSITIVE, OTC, value);
const carries =
  (asn: number | undefined): Check =>
  (route) =>
    route.attributes.get(OTC) === (asn === undefined ? undefined : hex(u32(asn)))
      ? undefined
      : `OTC is ${route.attributes.get(OTC)}`;
const seen = (asn: number | undefined): readonly Expectation[] => [{ kind: 'accept', check: carries(asn) }];

function routeCases(): Case[] {
  const rows: readonly [string, SessionKind, string, string, readonly Expectation[], (readonly number[])?][] =
    [
      ['leak', 'customer', 'a route with OTC from a customer', LEAK_CUSTOMER, withdraw, u32(65099)],
      [
        'leak-own',
        'customer',
        "a route with the customer's own OTC",
        LEAK_CUSTOMER,
        withdraw,
        u32(RANGES.customer.asn),
      ],
      ['plain', 'customer', 'a route without OTC from a customer', UNCHANGED, seen(undefined)],
      ['leak', 'peering', "a peer's route with another OTC", LEAK_PEER, withdraw, u32(65099)],
      [
        'own',
        'peering',
        "a peer's route with its own OTC",
        UNCHANGED,
        seen(RANGES.peering.asn),
        u32(RANGES.peering.asn),
      ],
      ['plain', 'peering', 'a route without OTC from a peer', ADDED, seen(RANGES.peering.asn)],
      ['plain', 'provider', 'a route without OTC from a provider', ADDED, seen(RANGES.provider.asn)],
      ['other', 'provider', 'a route with OTC from a provider', UNCHANGED, seen(65099), u32(65099)],
      ['short', 'customer', 'a short OTC from a customer', MALFORMED, withdraw, [0, 0, 1]],
      ['short', 'peering', 'a short OTC from a peer', MALFORMED, withdraw, [0, 0, 1]],
      ['long', 'provider', 'a long OTC from a provider', MALFORMED, withdraw, [0, 0, 0, 0, 1]],
      ['empty', 'provider', 'an empty OTC from a provider', MALFORMED, withdraw, []],
    ];
  return rows.map(([id, session, title, clause, expect, value]) => ({
    kind: 'update',
    id: `otc.${id}.${session}`,
    category: clause === MALFORMED ? 'malformed newer attributes' : 'behaviour: roles',
    ...{ title, clause, session, expect, family: 'ipv4', needs: [9] },
    ...(clause === MALFORMED ? {} : { valid: true }),
    send: (ground) => announce(ground, value === undefined ? base(ground) : having(ground, otc(value))),
  }));
}

/** Our OPEN with these roles in place of the right one. */
function saying(...values: readonly number[]): (parts: OpenParts) => Uint8Array {
  return (parts) => {
    const others = parts.capabilities.filter(({ code }) => code !== 9);
    const said = values.map((value) => ({ code: 9, value: [value] }));
    return open({ ...parts, capabilities: [...others, ...said] });
  };
}

function openCases(): Case[] {
  const fits: Partial<Record<SessionKind, number>> = { customer: 3, peering: 4, provider: 0 };
  const sessions = Object.entries(fits) as [SessionKind, number][];
  const make = (
    id: string,
    session: SessionKind,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    ...values: readonly number[]
  ): Case => ({
    kind: 'dialogue',
    id: `role.${id}.${session}`,
    category: expect === stands ? 'valid OPEN' : 'OPEN',
    ...{ title, clause, session, expect, upto: 'openSent', needs: [9] },
    ...(expect === stands ? { valid: true } : {}),
    send: (_, parts) => [saying(...values)(parts)],
  });
  return sessions.flatMap(([session, right]) => [
    ...[0, 1, 2, 3, 4, 5, 255]
      .filter((value) => value !== right)
      .map((value) =>
        make(`${value}`, session, `role ${value} where ${right} is due`, ROLE_PAIRS, reset([2, 11]), value),
      ),
    make('right', session, `role ${right}`, ROLE_PAIRS, stands, right),
    make(
      'none',
      session,
      'no role, not strict',
      'RFC 9234 4.2: "… does not receive a Role … strict mode"',
      stands,
    ),
    make('same-twice', session, 'the right role twice', SEVERAL, stands, right, right),
    make(
      'different',
      session,
      'the right role and another',
      SEVERAL,
      reset([2, 11]),
      right,
      right === 0 ? 3 : 0,
    ),
  ]);
}

export function roleCases(): Case[] {
  return [...routeCases(), ...openCases()];
}

// What passthrough and the rest of a configuration have to do with each other: what excludes it, what would make it
// useless, and peers and uplinks that do not find each other.

import { sameIp } from '../net/ip.ts';
import { type Prefix, prefixContainsIp, prefixOf, prefixText } from '../net/prefix.ts';
import type { PeerIntent, PeerWhere, SpeakerUsers } from './intent.ts';
import { complain, type Findings } from './merged.ts';
import type {
  InterfaceAddress,
  PassthroughIntent,
  PassthroughVethIntent,
  UplinkIntent,
} from './passthrough.ts';
import type { AroundPassthrough } from './passthrough-resolve.ts';
import { isPattern, matchesPattern } from './pattern.ts';
import type { PassthroughConfig } from './schema-passthrough.ts';
import { nearest } from './suggest.ts';

/** Judges a resolved section together with what is around it. */
export function checkAround(
  config: PassthroughConfig,
  intent: PassthroughIntent,
  around: AroundPassthrough,
  findings: Findings,
): void {
  checkExclusions(around, findings);
  const isAlone = intent.openperouter === undefined;
  if (config.mtu !== undefined && config.localCIDR === undefined && isAlone)
    findings.problems.push({
      path: ['passthrough', 'mtu'],
      at: 'key',
      reason: 'has no use without localCIDR',
      hint: 'it is that of the veth; each of the uplinks may have its own',
    });
  if (config.localCIDR !== undefined && config.speakers === undefined && isAlone)
    findings.warnings.push({
      path: ['passthrough', 'localCIDR'],
      at: 'key',
      reason: 'has no speakers: nothing of the host is announced but its address',
    });
  checkPeers(intent, around, findings);
  if (around.bgp.peers.length > 0 || isAlone) warnIdleUplinks(intent, around, findings);
}

function checkExclusions({ bgp, kernel, hasGuests }: AroundPassthrough, findings: Findings): void {
  if (bgp.speaker === 'none')
    complain(
      findings,
      ['bgp', 'speaker'],
      'excludes passthrough',
      'the router namespace is where leafd speaks BGP; the speakers of the host are passthrough.speakers',
    );
  if (bgp.profile === 'host')
    complain(
      findings,
      ['bgp', 'profile'],
      'excludes passthrough',
      'a host passes nothing on; without profile it is fabric here',
    );
  if (hasGuests)
    findings.problems.push({
      path: ['passthrough'],
      at: 'key',
      reason: 'excludes guests',
      hint: "guests are in the host's namespace, the speaker would be in another",
    });
  if (!kernel.fib)
    complain(
      findings,
      ['kernel', 'fib'],
      'excludes passthrough',
      'packets pass through by the routes of the router namespace',
    );
  if (kernel.table !== MAIN_TABLE)
    findings.warnings.push({
      path: ['kernel', 'table'],
      reason: 'is a table that nothing asks in the router namespace, unless you make rules there',
    });
}

/** The table that the kernel asks where no rule says another. */
const MAIN_TABLE = 254;

/** Unnumbered peers, and link-local addresses, against the interfaces that the router namespace will have. */
function checkPeers(intent: PassthroughIntent, around: AroundPassthrough, findings: Findings): void {
  const { veth, uplinks } = intent;
  const names = uplinks.map(({ name }) => name);
  for (const [index, { where }] of around.bgp.peers.entries()) {
    const path = ['bgp', 'peers', around.positions[index]!, where.kind];
    const pattern = interfaceOf(where);
    if (pattern !== undefined) {
      const isLeg = veth !== undefined && matchesPattern(pattern, veth.routerLink);
      if (isLeg && isPattern(pattern))
        complain(
          findings,
          path,
          `matches ${veth.routerLink}, the link to the host, as well`,
          'begin it as the names of uplinks begin, as in eth*',
        );
      else if (!isLeg && !names.some((name) => matchesPattern(pattern, name))) {
        const near = nearest(pattern, names) ?? names[0];
        findings.warnings.push({
          path,
          reason: 'matches no uplink of passthrough',
          hint: near === undefined ? 'passthrough.uplinks has none' : `did you mean "${near}"?`,
        });
      }
    }
    const leg = where.kind === 'range' && veth?.routerAddresses.find((own) => isWithin(own, where.range));
    if (leg)
      complain(
        findings,
        path,
        `contains localCIDR, ${prefixText(prefixOf(leg.bytes, leg.prefixLength))}`,
        'every user of the host could be such a peer: give ranges of the fabric',
      );
    if (where.kind === 'address' && veth?.routerAddresses.some(({ bytes }) => sameIp(bytes, where.address)))
      complain(findings, path, "is the router's own address towards the host");
  }
}

/** Whether the link to the host is a part of the range. */
function isWithin({ bytes, prefixLength }: InterfaceAddress, range: Prefix): boolean {
  return range.length < prefixLength && prefixContainsIp(range, bytes);
}

/** A peer of `bgp.peers` may be on this host as well: who it is is asked as of any speaker. */
export function askUsersOnLeg(
  peers: readonly PeerIntent[],
  veth: PassthroughVethIntent | undefined,
  users: SpeakerUsers,
): void {
  if (veth === undefined) return;
  const legs = veth.routerAddresses.map(({ bytes, prefixLength }) => prefixOf(bytes, prefixLength));
  for (const peer of peers) {
    const { where } = peer;
    const found =
      where.kind === 'range' ? where.range.bytes : where.kind === 'address' ? where.address : undefined;
    const isOnLeg = found !== undefined && legs.some((leg) => prefixContainsIp(leg, found));
    if (isOnLeg || interfaceOf(where) === veth.routerLink) peer.users = users;
  }
}

function interfaceOf(where: PeerWhere): string | undefined {
  return where.kind === 'interface' ? where.pattern : where.kind === 'address' ? where.scope : undefined;
}

function warnIdleUplinks(
  { uplinks }: PassthroughIntent,
  { bgp }: AroundPassthrough,
  findings: Findings,
): void {
  for (const [index, uplink] of uplinks.entries())
    if (!bgp.peers.some(({ where }) => mayBeOn(where, uplink, uplinks)))
      findings.warnings.push({
        path: ['passthrough', 'uplinks', index],
        reason: 'has no peer in bgp.peers',
        hint: `such as {interface: ${uplink.name}}`,
      });
}

/** Whether a peer may be beyond an uplink. Which addresses a NIC that moves has is not known here. */
function mayBeOn(where: PeerWhere, uplink: UplinkIntent, uplinks: readonly UplinkIntent[]): boolean {
  const pattern = interfaceOf(where);
  if (pattern !== undefined) return matchesPattern(pattern, uplink.name);
  const address =
    where.kind === 'range' ? where.range.bytes : where.kind === 'address' ? where.address : undefined;
  if (address === undefined) return false;
  const owner = uplinks.find(({ addresses }) =>
    addresses.some(({ bytes, prefixLength }) => prefixContainsIp(prefixOf(bytes, prefixLength), address)),
  );
  return owner === undefined || owner === uplink;
}

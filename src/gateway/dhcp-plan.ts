// A pool as all members have configured it: which addresses, whose home each is, who is expected to be asked by
// whom. The home of an address is the owner of its block by rendezvous hash over the *configured* members, dead or
// alive: only so nobody has to agree with anybody before a free address is given. Blocks are single addresses in
// pools of up to BLOCKS, so that small pools are shared evenly too.
//
// Quorums: a member that is not the home lengthens a lease with the word of `extendQuorum` members, itself counted;
// the home takes an address back with the word of `reclaimQuorum`. Any two such sets meet (their sizes exceed the
// number of members), which is what dhcp-leases.ts rests on. Of two members either may die and the other goes on.

import { assert } from '../lib/assert.ts';
import { sameIp } from '../net/ip.ts';
import { rendezvousOwner, rendezvousRanks } from './rendezvous.ts';

/** Addresses of a pool at most. */
export const POOL_MAX = 65_536;
const BLOCKS = 4096;

export interface DhcpPoolIntent {
  /** The same on all members; part of the hash. */
  name: string;
  /** 4 or 16 bytes, both ends included; POOL_MAX addresses at most. */
  first: Uint8Array;
  last: Uint8Array;
  /** Never given from the pool: the gateway, addresses of reservations. */
  excluded: readonly Uint8Array[];
  /** All members, by name, dead or alive. */
  members: readonly string[];
  leaseTimeMs: number;
}

export interface PoolPlan {
  name: string;
  first: Uint8Array;
  size: number;
  excluded: ReadonlySet<number>;
  members: readonly string[];
  leaseTimeMs: number;
  /** Number of the member, by address. */
  homes: Uint8Array;
  extendQuorum: number;
  reclaimQuorum: number;
  /** Members and size as a text: the word of who has another configuration counts for nothing. */
  charter: string;
}

export function planPool(intent: DhcpPoolIntent): PoolPlan {
  const members = [...new Set(intent.members)].sort();
  assert(members.length > 0 && members.length < 256, `${members.length} members`);
  const size = Number(number(intent.last) - number(intent.first)) + 1;
  assert(size > 0 && size <= POOL_MAX && intent.first.length === intent.last.length, `a pool of ${size}`);
  const plan: PoolPlan = {
    name: intent.name,
    first: intent.first,
    size,
    excluded: new Set(),
    members,
    leaseTimeMs: intent.leaseTimeMs,
    homes: homesOf(intent.name, size, members),
    extendQuorum: Math.ceil(members.length / 2),
    reclaimQuorum: Math.floor(members.length / 2) + 1,
    charter: [intent.name, String(number(intent.first)), size, ...members].join(' '),
  };
  const excluded = intent.excluded.map((address) => indexOf(plan, address)).filter((at) => at !== undefined);
  return { ...plan, excluded: new Set(excluded) };
}

function homesOf(name: string, size: number, members: readonly string[]): Uint8Array {
  const candidates = members.map((member) => ({ name: member }));
  const block = Math.ceil(size / BLOCKS);
  const homes = new Uint8Array(size);
  for (let start = 0; start < size; start += block) {
    const owner = rendezvousOwner(`dhcp ${name} ${start}`, candidates)!;
    homes.fill(members.indexOf(owner), start, start + block);
  }
  return homes;
}

/** The address at a place of the pool. */
export function addressAt(plan: PoolPlan, index: number): Uint8Array {
  const bytes = plan.first.slice();
  for (let at = bytes.length - 1, carry = index; at >= 0 && carry > 0; at--) {
    const sum = bytes[at]! + carry;
    bytes[at] = sum;
    carry = Math.floor(sum / 256);
  }
  return bytes;
}

/** The place of an address in the pool, or undefined. */
export function indexOf(plan: PoolPlan, address: Uint8Array): number | undefined {
  if (address.length !== plan.first.length) return undefined;
  const at = number(address) - number(plan.first);
  if (at < 0n || at >= BigInt(plan.size)) return undefined;
  return sameIp(addressAt(plan, Number(at)), address) ? Number(at) : undefined;
}

export function homeOf(plan: PoolPlan, index: number): string {
  return plan.members[plan.homes[index]!]!;
}

/** How long an answer waits for members that stand before this one: who has the client on its own port first. */
const FIRST_WAIT_MS = 400;
const NEXT_WAIT_MS = 200;

/**
 * Milliseconds a member waits before it answers a client that is not on a port of its own, so that one answers and
 * the next does when that one is dead: by rendezvous over the members alive. An answer seen meanwhile ends the wait.
 */
export function answerWaitMs(client: string, self: string, alive: readonly string[]): number {
  const candidates = [...new Set([...alive, self])].map((name) => ({ name }));
  return FIRST_WAIT_MS + NEXT_WAIT_MS * rendezvousRanks(`dhcp client ${client}`, candidates).indexOf(self);
}

function number(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

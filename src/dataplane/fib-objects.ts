// Next-hop sets and the kernel nexthop objects that carry them. Pure. A set of one member is carried by a
// plain nexthop object, shared by all who need that gateway; a larger set by a group of its own, which stays
// a group however its members come and go, so that a change is one message whatever number of routes is
// behind it (prefix independent convergence). Objects of an earlier run are taken over by content: gateway
// and link, or sorted members.
//
// The kernel deletes a nexthop object when its link loses carrier or goes down, groups that became empty, and
// every route on them, and tells none of it: `lost` does the same here.

import { assert } from '../lib/assert.ts';
import { hex } from '../netlink/message.ts';
import type { Nexthop, NexthopMember } from '../netlink/nexthop.ts';

/** The loopback link has this index in every namespace. */
const LOOPBACK_IFINDEX = 1;

/**
 * The first of our objects has this id, and each later one a lower one. FRR's zebra wants it so: an id with one of the
 * bits 28 and 29 it takes for one of its forwarding database, and drops every route on it; with one from 250000000 on
 * it misses that one route of ours takes the place of another; and from the highest below that it counts its own on,
 * which begin at 1 again right after this one.
 */
export const FIRST_OBJECT_ID = 249_999_999;
const LOWEST_OBJECT_ID = 200_000_000;

/** A member of a next-hop set as the router defines it. */
export interface SetMember {
  /** 4 or 16 bytes; absent: the link itself (connected). */
  gateway?: Uint8Array | undefined;
  ifindex: number;
  weight: number;
  /** Packets are dropped; the only member of its set, on no link. */
  discard?: true | undefined;
}

export interface GroupMember {
  object: KernelObject;
  weight: number;
}

export interface KernelObject {
  readonly slot: number;
  id: number;
  readonly group: boolean;
  /** Of a plain object. */
  readonly gateway: Uint8Array | undefined;
  /** That of the loopback link for one that discards: the kernel puts it there. */
  readonly ifindex: number;
  readonly discard: boolean;
  /** Of a group: what its set defines, dead members included. */
  members: GroupMember[];
  /** In the kernel, as far as we know. */
  present: boolean;
  /** A message that makes or changes it, or deletes it, is under way. */
  writing: boolean;
  deleting: boolean;
  /** Refused by the kernel; not tried before the next retry or event. */
  blocked: boolean;
  /** Counts losses, so that an answer to a message sent before a loss is known as such. */
  epoch: number;
  /** A member was lost while a message about the group was under way. */
  doubtful: boolean;
  /** Members the kernel has (of a group), and what a message under way would make of them. */
  kernelMembers: NexthopMember[];
  writingMembers: NexthopMember[];
  /** Sets and groups that use it. */
  uses: number;
  /** Routes of ours in the kernel that point at it. */
  routes: number;
  /** Of an earlier run and not used so far. */
  found: boolean;
  mark: number;
  errno: number;
  text: string;
}

export interface NexthopSet {
  members: SetMember[];
  object: KernelObject;
  /** Routes that desire it. */
  desired: number;
  released: boolean;
}

/** A next hop that is a link without a gateway, as guests have. */
export function isLink({ group, discard, gateway }: KernelObject): boolean {
  return !group && !discard && gateway === undefined;
}

export class ObjectTable {
  readonly slots: (KernelObject | undefined)[] = [];
  readonly sets: (NexthopSet | undefined)[] = [];
  /** Objects whose desired form may differ from the kernel's. */
  readonly dirty = new Set<KernelObject>();
  /** Objects that are a link alone stay in the kernel when nobody uses them (fib-notice.ts). */
  keepsLinks = false;
  readonly #byId = new Map<number, KernelObject>();
  readonly #byHop = new Map<string, KernelObject>();
  readonly #free: number[] = [];
  readonly #foreignIds = new Set<number>();
  readonly #isUsable: (ifindex: number) => boolean;
  /** The next object gets this id, or the next lower one that is free. */
  nextId = FIRST_OBJECT_ID;

  /** `isUsable`: whether the kernel takes nexthop objects on that link now. */
  constructor(isUsable: (ifindex: number) => boolean) {
    this.#isUsable = isUsable;
  }

  byId(id: number): KernelObject | undefined {
    return this.#byId.get(id);
  }

  /** Routes may be pointed at it: it is there, or the message that makes it goes before theirs. */
  isLive(object: KernelObject): boolean {
    return (object.present || object.writing) && !object.deleting;
  }

  /**
   * Defines a set, or changes its members. Returns true when the set is carried by another object than
   * before, so that its routes must be written again.
   */
  define(setId: number, members: readonly SetMember[]): boolean {
    const merged = merge(members);
    assert(merged.length > 0, `next-hop set ${setId} without members`);
    const set = this.sets[setId];
    if (set === undefined) {
      const object = this.#objectFor(merged);
      this.sets[setId] = { members: merged, object, desired: 0, released: false };
      return false;
    }
    set.released = false;
    set.members = merged;
    if (set.object.group) {
      this.#setMembers(set.object, merged);
      return false;
    }
    const before = set.object;
    set.object = this.#objectFor(merged);
    this.#drop(before);
    return set.object !== before;
  }

  /** Ends a set; it lives on until no route desires it. */
  release(setId: number): void {
    const set = this.sets[setId];
    if (!set) return;
    set.released = true;
    this.settleSet(setId, set);
  }

  settleSet(setId: number, set: NexthopSet): void {
    if (!set.released || set.desired > 0) return;
    this.sets[setId] = undefined;
    this.#drop(set.object);
  }

  /** The members a group should have now: those whose objects are live. */
  liveMembers(object: KernelObject): NexthopMember[] {
    const live: NexthopMember[] = [];
    for (const member of object.members) {
      if (this.isLive(member.object)) live.push({ id: member.object.id, weight: member.weight });
    }
    return live.sort((a, b) => a.id - b.id);
  }

  /** Whether a message about the object is due now. */
  needsWrite(object: KernelObject): boolean {
    if (object.uses === 0 || object.writing || object.blocked) return false;
    if (!object.group) return !object.present && this.#isUsable(object.ifindex);
    const live = this.liveMembers(object);
    return live.length > 0 && (!object.present || !sameMembers(live, object.kernelMembers));
  }

  /** A group whose members are all without a usable link now, and that still leads to its former ones. */
  needsDelete(object: KernelObject): boolean {
    if (!object.group || object.uses === 0 || object.writing || !object.present) return false;
    return this.liveMembers(object).length === 0;
  }

  /** Marks every group that has the object as a member for a new look. */
  touchGroups(object: KernelObject): void {
    for (const group of this.slots) {
      if (group?.group && group.members.some((m) => m.object === object)) this.dirty.add(group);
    }
  }

  /** Takes in what the kernel says of an object with our mark. Returns it. */
  observe(nexthop: Nexthop): KernelObject {
    let object = this.#byId.get(nexthop.id);
    if (object && object.group !== (nexthop.group !== undefined)) {
      object.id = this.#newId();
      this.#byId.set(object.id, object);
      object = undefined;
    }
    if (!object) {
      object = this.#make(nexthop.id, nexthop.group !== undefined, nexthop);
      object.found = true;
      const key = hopKey(object);
      if (!object.group && !this.#byHop.has(key)) this.#byHop.set(key, object);
    }
    const differs = !object.group && !sameHop(object, nexthop);
    object.present = !differs;
    object.kernelMembers = (nexthop.group ?? []).slice().sort((a, b) => a.id - b.id);
    this.dirty.add(object);
    return object;
  }

  /** An id taken by somebody else's object: never used. */
  observeForeign(id: number): void {
    if (id <= FIRST_OBJECT_ID && id >= LOWEST_OBJECT_ID) this.#foreignIds.add(id);
  }

  /** Whether the kernel did not take the object of a set, or one of its members. */
  isRefused(setId: number): boolean {
    const { object } = this.sets[setId]!;
    return object.errno !== 0 || object.members.some((member) => member.object.errno !== 0);
  }

  /**
   * The object left the kernel, and with it its routes and its place in groups. Calls back for each object
   * lost this way, groups that became empty included.
   */
  lost(object: KernelObject, onLost: (object: KernelObject) => void): void {
    object.epoch++;
    const wasLive = object.present || object.writing || object.routes > 0;
    object.present = false;
    object.kernelMembers = [];
    this.dirty.add(object);
    if (wasLive) onLost(object);
    if (object.group) return;
    for (const group of this.slots) {
      if (!group?.group) continue;
      if (group.writing && group.writingMembers.some((m) => m.id === object.id)) group.doubtful = true;
      if (!group.kernelMembers.some((m) => m.id === object.id)) continue;
      group.kernelMembers = group.kernelMembers.filter((m) => m.id !== object.id);
      this.dirty.add(group);
      if (group.kernelMembers.length === 0 && group.present) this.lost(group, onLost);
    }
    this.touchGroups(object);
  }

  /** Frees an object that nobody uses and the kernel does not have. */
  free(object: KernelObject): void {
    assert(object.uses === 0 && object.routes === 0, `nexthop object ${object.id} is in use`);
    for (const member of object.members) this.#drop(member.object);
    object.members = [];
    this.#byId.delete(object.id);
    const key = hopKey(object);
    if (this.#byHop.get(key) === object) this.#byHop.delete(key);
    this.dirty.delete(object);
    this.slots[object.slot] = undefined;
    this.#free.push(object.slot);
  }

  /** Another id for an object whose id turned out to be taken. */
  renumber(object: KernelObject): void {
    this.#byId.delete(object.id);
    object.id = this.#newId();
    this.#byId.set(object.id, object);
    this.dirty.add(object);
    this.touchGroups(object);
  }

  #objectFor(members: SetMember[]): KernelObject {
    if (members.length === 1) return this.#use(this.#hopObject(members[0]!));
    const wanted: NexthopMember[] = members.map((m) => ({ id: this.#hopObject(m).id, weight: m.weight }));
    wanted.sort((a, b) => a.id - b.id);
    const same = (o: KernelObject | undefined): boolean =>
      o?.group === true && o.uses === 0 && o.found && sameMembers(o.kernelMembers, wanted);
    const object = this.slots.find(same) ?? this.#make(this.#newId(), true, { ifindex: 0 });
    this.#setMembers(object, members);
    return this.#use(object);
  }

  #hopObject(member: SetMember): KernelObject {
    const key = hopKey(member);
    const known = this.#byHop.get(key);
    if (known) return known;
    const object = this.#make(this.#newId(), false, { ...member, blackhole: member.discard === true });
    this.#byHop.set(key, object);
    return object;
  }

  #setMembers(object: KernelObject, members: SetMember[]): void {
    const before = object.members;
    object.members = members.map((m) => ({ object: this.#use(this.#hopObject(m)), weight: m.weight }));
    for (const member of before) this.#drop(member.object);
    object.blocked = false;
    this.dirty.add(object);
  }

  #use(object: KernelObject): KernelObject {
    object.uses++;
    object.found = false;
    this.dirty.add(object);
    return object;
  }

  #drop(object: KernelObject): void {
    object.uses--;
    this.dirty.add(object);
  }

  #make(
    id: number,
    group: boolean,
    hop: { gateway?: Uint8Array | undefined; ifindex: number; blackhole?: boolean },
  ): KernelObject {
    const discard = hop.blackhole === true;
    const slot = this.#free.pop() ?? this.slots.length;
    const object: KernelObject = {
      slot,
      id,
      group,
      gateway: hop.gateway,
      ifindex: discard ? LOOPBACK_IFINDEX : hop.ifindex,
      discard,
      members: [],
      present: false,
      writing: false,
      deleting: false,
      blocked: false,
      epoch: 0,
      doubtful: false,
      kernelMembers: [],
      writingMembers: [],
      uses: 0,
      routes: 0,
      found: false,
      mark: 0,
      errno: 0,
      text: '',
    };
    this.slots[slot] = object;
    this.#byId.set(id, object);
    return object;
  }

  #newId(): number {
    let id = this.nextId;
    while (this.#byId.has(id) || this.#foreignIds.has(id)) id = idAfter(id);
    this.nextId = idAfter(id);
    return id;
  }
}

function idAfter(id: number): number {
  return id > LOWEST_OBJECT_ID ? id - 1 : FIRST_OBJECT_ID;
}

function hopKey(hop: {
  gateway?: Uint8Array | undefined;
  ifindex: number;
  discard?: boolean | undefined;
}): string {
  if (hop.discard === true) return 'discard';
  return `${hop.ifindex}/${hop.gateway ? hex(hop.gateway) : ''}`;
}

function sameHop(object: KernelObject, nexthop: Nexthop): boolean {
  return hopKey(object) === hopKey({ ...nexthop, discard: nexthop.blackhole });
}

function sameMembers(a: readonly NexthopMember[], b: readonly NexthopMember[]): boolean {
  return a.length === b.length && a.every((m, i) => m.id === b[i]!.id && m.weight === b[i]!.weight);
}

/** Members with the same gateway and link become one with the sum of their weights; weights end at 256. */
function merge(members: readonly SetMember[]): SetMember[] {
  const merged = new Map<string, SetMember>();
  for (const member of members) {
    const key = hopKey(member);
    const weight = (merged.get(key)?.weight ?? 0) + Math.max(1, member.weight);
    merged.set(key, { ...member, weight: Math.min(256, weight) });
  }
  return [...merged.values()];
}

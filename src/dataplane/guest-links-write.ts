// Carries out changes of guests' links: settings through /proc/sys, then bridges, then all that goes through netlink in
// few batches, each in the order given. Before that the originals are written down, once for all the changes that are
// known: with thousands of taps the file is large.

import { encodeAddressAdd, encodeAddressDelete } from '../netlink/address.ts';
import { encodeBridgeAdd, encodePortIsolated } from '../netlink/bridge.ts';
import { encodeLinkSet } from '../netlink/link.ts';
import { hex, type MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { EEXIST, errnoName } from '../netlink/sys.ts';
import type { GuestChange } from './guest-links-desired.ts';
import type { GuestKernel } from './guest-restore.ts';
import { forgetAbsent, type GuestState, saveGuestState } from './guest-state.ts';
import { GUEST_BRIDGE_ALIAS } from './guest-wish.ts';
import type { SysctlPort } from './sysctl.ts';

const EADDRNOTAVAIL = 99;
/** Messages in a batch. */
const BATCH = 256;

export interface LinkedChange {
  /** 0: of no single link. */
  ifindex: number;
  change: GuestChange;
}

export interface Fault {
  errno: string;
  text: string;
}

/** Carries all of them out; returns what went wrong. */
export function writeChanges(kernel: GuestKernel, changes: readonly GuestChange[]): Map<GuestChange, Fault> {
  const faults = new Map<GuestChange, Fault>();
  const fail = (change: GuestChange, fault: Fault | undefined): void => {
    if (fault !== undefined) faults.set(change, fault);
  };
  for (const change of changes)
    if (change.kind === 'sysctlSet') fail(change, setSysctl(kernel.sysctls, change));
    else if (change.kind === 'refused') fail(change, change);
  for (const change of changes)
    if (change.kind === 'bridgeAdd') fail(change, addBridge(kernel.rtnl, change.name, change.mac));
  const messages = changes.filter((change) => encoderOf(change) !== undefined);
  for (let at = 0; at < messages.length; at += BATCH)
    writeBatch(kernel.rtnl, messages.slice(at, at + BATCH), fail);
  return faults;
}

function setSysctl(sysctls: SysctlPort, change: GuestChange & { kind: 'sysctlSet' }): Fault | undefined {
  // A kernel without the key has nothing to set; the status says so.
  if (change.before === undefined) return { errno: 'ENOENT', text: 'the kernel has no such key' };
  try {
    sysctls.write(change.object.path, change.object.value);
    return undefined;
  } catch (error) {
    return faultOf(error);
  }
}

// The mark comes second: in one batch a bridge of somebody else's would get it when the name is taken.
function addBridge(rtnl: Rtnl, name: string, mac: Uint8Array): Fault | undefined {
  const fault = writeOne(rtnl, (w, seq) => encodeBridgeAdd(w, seq, name, mac));
  if (fault) return fault;
  return writeOne(rtnl, (w, seq) => encodeLinkSet(w, seq, { ifindex: 0, name, alias: GUEST_BRIDGE_ALIAS }));
}

function writeOne(rtnl: Rtnl, encode: (writer: MessageWriter, seq: number) => void): Fault | undefined {
  const { outcome, failed } = rtnl.write(encode);
  if (outcome === 'unknown') return NO_ANSWER;
  const failure = failed[0];
  return failure && { errno: errnoName(failure.errno), text: failure.text || errnoName(failure.errno) };
}

const NO_ANSWER: Fault = { errno: 'ETIMEDOUT', text: 'no answer from the kernel' };

function writeBatch(
  rtnl: Rtnl,
  changes: readonly GuestChange[],
  fail: (change: GuestChange, fault: Fault) => void,
): void {
  try {
    const { outcome, failed } = rtnl.write((writer, firstSeq) => {
      changes.forEach((change, i) => {
        encoderOf(change)!(writer, firstSeq + i);
      });
    });
    if (outcome === 'unknown') for (const change of changes) fail(change, NO_ANSWER);
    for (const { index, errno, text } of failed) {
      const change = changes[index]!;
      if (!isHarmless(change, errno))
        fail(change, { errno: errnoName(errno), text: text || errnoName(errno) });
    }
  } catch (error) {
    for (const change of changes) fail(change, faultOf(error));
  }
}

/** It is as it is to be already. */
function isHarmless({ kind }: GuestChange, errno: number): boolean {
  return (kind === 'addressAdd' && errno === EEXIST) || (kind === 'addressRemove' && errno === EADDRNOTAVAIL);
}

function encoderOf(change: GuestChange): ((writer: MessageWriter, seq: number) => void) | undefined {
  switch (change.kind) {
    case 'macSet':
      return (w, seq) => encodeLinkSet(w, seq, { ifindex: change.link.ifindex, mac: change.mac });
    case 'linkUp':
      return (w, seq) => encodeLinkSet(w, seq, { ifindex: change.link.ifindex, up: true });
    case 'isolate':
      return (w, seq) => encodePortIsolated(w, seq, change.link.ifindex, true);
    case 'addressAdd':
      return (w, seq) => encodeAddressAdd(w, seq, NLM_F_CREATE | NLM_F_EXCL, change.address);
    case 'addressRemove':
      return (w, seq) => encodeAddressDelete(w, seq, change.address);
    default:
      return undefined;
  }
}

export function faultOf(error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  return { errno: code ?? 'unknown', text: message };
}

/** Whether the original of what it changes has to be on disk before. */
export function isSaved({ kind }: GuestChange): boolean {
  return kind === 'sysctlSet' || kind === 'macSet' || kind === 'isolate' || kind === 'addressAdd';
}

/** What was before, as far as the changes that are known go: first in memory, then on disk. */
export class Originals {
  readonly #kernel: GuestKernel;
  readonly #stateDir: string;
  /** How to forget what is not on disk. */
  #undo: (() => void)[] = [];

  constructor(kernel: GuestKernel, stateDir: string) {
    this.#kernel = kernel;
    this.#stateDir = stateDir;
  }

  /** To be written down before the changes are made. */
  remember({ ifindex, change }: LinkedChange): void {
    const { state } = this.#kernel;
    if (change.kind === 'sysctlSet') this.#rememberSysctl(ifindex, change);
    else if (change.kind === 'macSet') {
      const { link, mac } = change;
      const before = state.macs.get(link.ifindex)?.before ?? hex(link.mac);
      const now = hex(mac);
      if (link.alias === GUEST_BRIDGE_ALIAS || state.macs.get(link.ifindex)?.now === now) return;
      this.#put(state.macs, link.ifindex, { before, now });
    } else if (change.kind === 'isolate') this.#rememberPort(state, change.link.ifindex);
    else if (change.kind === 'addressAdd') {
      const { ifindex: own, bytes, prefixLength } = change.address;
      if (state.addresses.get(change.key)?.ifindex !== own)
        this.#put(state.addresses, change.key, { ifindex: own, address: hex(bytes), prefixLength });
    }
  }

  /** What cannot be written down is not to be changed; the fault is returned. */
  save(): Fault | undefined {
    if (this.#undo.length === 0) return undefined;
    const { state, links } = this.#kernel;
    forgetAbsent(state, (ifindex) => links.links.has(ifindex));
    try {
      saveGuestState(this.#stateDir, state);
      this.#undo = [];
      return undefined;
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      this.#undo = [];
      return faultOf(error);
    }
  }

  /** After something was given back. */
  saveIfPossible(): void {
    try {
      saveGuestState(this.#stateDir, this.#kernel.state);
      this.#undo = [];
    } catch {
      // The next change of a setting tries again, and tells when it cannot.
    }
  }

  #rememberSysctl(about: number, { key, object, before }: GuestChange & { kind: 'sysctlSet' }): void {
    const { state, links } = this.#kernel;
    const { path, value, link } = object;
    const ifindex = link === undefined ? 0 : about || (links.linkByName(link)?.ifindex ?? 0);
    const saved = state.sysctls.get(key);
    const isKnown = saved?.ifindex === ifindex;
    if (isKnown && saved.now === value) return;
    const original = isKnown ? saved.before : before;
    if (original !== undefined)
      this.#put(state.sysctls, key, { path, before: original, now: value, ifindex });
  }

  #rememberPort({ isolated }: GuestState, ifindex: number): void {
    if (isolated.has(ifindex)) return;
    isolated.add(ifindex);
    this.#undo.push(() => isolated.delete(ifindex));
  }

  #put<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
    const former = map.get(key);
    map.set(key, value);
    this.#undo.push(() => (former === undefined ? map.delete(key) : map.set(key, former)));
  }
}

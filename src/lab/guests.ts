// Guests of a lab that is up: started on their hypervisors, migrated between them, stopped. A live migration goes as
// QEMU's and its managers' do: the target is told to expect the guest and has its tap while the guest still runs at
// the source; the card is plugged over at once; the guest says where it is, five times in 800 ms; then the source's
// tap goes and its leafd is told. A cancelled one ends before the card is plugged over.

import { setTimeout as delay } from 'node:timers/promises';
import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { withNetns } from '../netlink/netns.ts';
import { openPacketSender } from '../netlink/packet-sender.ts';
import { libcCalls } from '../netlink/sys.ts';
import { announcementFrames, roundDelaysMs } from './announcement.ts';
import { attach, detach, expect } from './guest-calls.ts';
import {
  bootCommands,
  bridgeCommands,
  cardCommands,
  type LabCommands,
  plugCommands,
  tapCommands,
  untapCommands,
} from './guest-plan.ts';
import { controlSocketOf } from './kinds.ts';
import { FIRST_INDEX } from './plan.ts';
import { runOrThrow } from './processes.ts';
import { type GuestState, type LabState, labDirectory, saveLab } from './state.ts';
import { type LabNode, netnsOf, nodeNamed } from './topology.ts';

export interface MigrateOptions {
  /** The guest is stopped at the source and started at the target, with nobody expecting it. */
  readonly cold?: boolean;
  /** Everything but the cut-over: the guest stays where it is. */
  readonly cancel?: boolean;
}

export interface MigrateView {
  guest: string;
  from: string;
  to: string;
  kind: 'live' | 'cold' | 'cancelled';
  /** Wall clock at which the card was at the target, in milliseconds; absent for a cancelled migration. */
  cutOverAtMs?: number;
  tookMs: number;
}

/** Makes the bridges of hypervisors, before their daemons start. */
export async function makeBridges(state: LabState): Promise<void> {
  await runAll(bridgeCommands(state.topology));
}

/** Starts every guest on its hypervisor: card, tap, addresses, attach. */
export async function startGuests(state: LabState): Promise<void> {
  const lab = state.topology.name;
  for (const node of guestNodes(state)) {
    const place: GuestState = { name: node.name, on: node.guest!.on, slot: 0 };
    state.guests = [...(state.guests ?? []), place];
    saveLab(state);
    await runAll([cardCommands(lab, node, nextIndex(state)), ...tapOn(state, node, place.on, 0)]);
    await runAll([plugCommands(lab, node.name, 0, false)]);
    if (node.guest!.mode === 'attach') await attach(socketOf(state, place.on), node);
    await runAll([bootCommands(lab, node)]);
  }
}

/** Takes a guest to another hypervisor. Throws LeafdError, also what a daemon refused. */
export async function migrateGuest(
  state: LabState,
  name: string,
  to: string,
  options: MigrateOptions,
): Promise<MigrateView> {
  const node = guestNamed(state, name);
  const target = nodeNamed(state.topology, to);
  const place = state.guests?.find((one) => one.name === name);
  if (place === undefined)
    throw new LeafdError('lab-guest-absent', `${name} is not running`, {
      hint: 'the lab did not come up whole',
    });
  if (target?.kind !== 'hypervisor')
    throw new LeafdError('lab-node-invalid', `${to} is no hypervisor of this lab`, {
      hint: `hypervisors: ${hypervisorsOf(state).join(', ')}`,
    });
  if (place.on === to) throw new LeafdError('lab-node-invalid', `${name} is on ${to} already`);
  if (options.cold === true && options.cancel === true)
    throw new LeafdError('usage', 'only a live migration can be cancelled', { hint: 'leave --cold out' });
  if (!(target.bridges ?? []).includes(node.guest!.bridge))
    throw new LeafdError('lab-node-invalid', `${to} has no bridge ${node.guest!.bridge}`, {
      hint: 'bridges: of the hypervisor in the file of the lab',
    });
  const startedMs = performance.now();
  const kind = options.cold ? 'cold' : options.cancel ? 'cancelled' : 'live';
  const move = { state, node, from: place.on, to, place };
  const cutOverAtMs = await (kind === 'cold' ? coldMove(move) : liveMove(move, kind === 'cancelled'));
  const tookMs = Math.round(performance.now() - startedMs);
  return { guest: name, from: move.from, to, kind, ...(cutOverAtMs && { cutOverAtMs }), tookMs };
}

interface Move {
  readonly state: LabState;
  readonly node: LabNode;
  readonly from: string;
  readonly to: string;
  readonly place: GuestState;
}

async function liveMove(
  { state, node, from, to, place }: Move,
  cancel: boolean,
): Promise<number | undefined> {
  const lab = state.topology.name;
  const told = node.guest!.mode === 'attach';
  const [oldSlot, slot] = place.slot === 0 ? ([0, 1] as const) : ([1, 0] as const);
  if (told) await expect(socketOf(state, to), node, from);
  await runAll(tapOn(state, node, to, slot));
  if (cancel) {
    await runAll([untapCommands(lab, node.name, slot)]);
    if (told) await detach(socketOf(state, to), node);
    return undefined;
  }
  const voice = voiceOf(state, node);
  try {
    await runAll([plugCommands(lab, node.name, slot, true)]);
    const cutOverAtMs = Date.now();
    voice.speak();
    place.on = to;
    place.slot = slot;
    saveLab(state);
    const rounds = sayAgain(voice);
    await runAll([untapCommands(lab, node.name, oldSlot)]);
    if (told) await detach(socketOf(state, from), node);
    await rounds;
    return cutOverAtMs;
  } finally {
    voice.close();
  }
}

async function coldMove({ state, node, from, to, place }: Move): Promise<number> {
  const lab = state.topology.name;
  const told = node.guest!.mode === 'attach';
  await runAll([untapCommands(lab, node.name, place.slot)]);
  if (told) await detach(socketOf(state, from), node);
  await runAll(tapOn(state, node, to, place.slot));
  await runAll([plugCommands(lab, node.name, place.slot, false)]);
  const cutOverAtMs = Date.now();
  place.on = to;
  if (told) await attach(socketOf(state, to), node);
  // A guest that starts has no neighbours, and looks for duplicates of its addresses again.
  const down = { netns: netnsOf(lab, node.name), commands: ['link set eth0 down'] };
  await runAll([down, bootCommands(lab, node)]);
  return cutOverAtMs;
}

interface Voice {
  speak(): void;
  close(): void;
}

/** What a guest says of itself, out of its own network card. */
function voiceOf(state: LabState, node: LabNode): Voice {
  const netns = netnsOf(state.topology.name, node.name);
  const ifindex = withNetns(netns, () => libcCalls.if_nametoindex('eth0') as number);
  const addresses = node.addresses.map((text) => parseIp(text.replace(/\/\d+$/, ''))!);
  const frames = announcementFrames(parseMac(node.guest!.mac)!, addresses);
  const sender = openPacketSender(netns);
  return {
    speak: () => {
      for (const frame of frames) sender.send(ifindex, frame, frame.length);
    },
    close: () => sender.close(),
  };
}

async function sayAgain(voice: Voice): Promise<void> {
  for (const delayMs of roundDelaysMs) {
    await delay(delayMs);
    voice.speak();
  }
}

function hypervisorsOf({ topology }: LabState): string[] {
  return topology.nodes.filter(({ kind }) => kind === 'hypervisor').map(({ name }) => name);
}

function guestNodes(state: LabState): LabNode[] {
  return state.topology.nodes.filter((node) => node.guest !== undefined);
}

function guestNamed(state: LabState, name: string): LabNode {
  const guests = guestNodes(state);
  const node = guests.find((one) => one.name === name);
  if (node !== undefined) return node;
  const names = guests.map((one) => one.name).join(', ');
  throw new LeafdError('lab-guest-absent', `there is no guest ${name} in ${state.topology.name}`, {
    hint: `guests: ${names || 'none'}`,
  });
}

function tapOn(state: LabState, node: LabNode, on: string, slot: 0 | 1): LabCommands[] {
  return tapCommands(state.topology.name, node, on, slot, nextIndex(state));
}

/** The first of two interface indexes that nothing in this lab has had. */
function nextIndex(state: LabState): number {
  return FIRST_INDEX + 2 * state.cablesMade++;
}

function socketOf(state: LabState, name: string): string {
  const directory = `${labDirectory(state.topology.name)}/${name}`;
  return controlSocketOf(nodeNamed(state.topology, name)!, directory);
}

async function runAll(list: readonly LabCommands[]): Promise<void> {
  for (const { netns, commands } of list)
    await runOrThrow(['ip', '-n', netns, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

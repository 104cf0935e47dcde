// Cables of a lab that is up: cut, mended, moved. A cut is a link that goes down (both ends see it) or packets that
// are lost without anyone being told, by an nftables rule on the receiving port, which also stops ARP and neighbour
// discovery as a broken optic would. A veth pair cannot be plugged elsewhere, so a move makes both ports anew; they
// keep their names, and a port that had the cable before is gone, as if its module had been pulled.

import { LeafdError } from '../lib/leafd-error.ts';
import { cableCommands, portCommands } from './plan.ts';
import { portNetns } from './port-netns.ts';
import { run, runOrThrow } from './processes.ts';
import type { CutKind, CutState, LabState } from './state.ts';
import {
  cableAt,
  formatEnd,
  type LabEnd,
  type LabLink,
  movedLinks,
  netnsOf,
  nodeNamed,
  parseEnd,
  sameEnd,
} from './topology.ts';
import { isInstalled, runIp } from './up.ts';

/** Of commands to the ports of a cable while a leafd moves one of them. */
const MOST_ATTEMPTS = 20;

export interface CutOptions {
  /** Drop packets in both directions; the link stays up. */
  readonly silent?: boolean;
  /** Drop only what the named port sends. */
  readonly oneWay?: boolean;
  /** Drop this share of packets in both directions. */
  readonly lossPercent?: number;
}

/** The end that an operator named. Throws LeafdError `lab-end-invalid` or `lab-node-absent`. */
export function endNamed(state: LabState, text: string): LabEnd {
  const end = parseEnd(text);
  if (end === undefined)
    throw new LeafdError('lab-end-invalid', `${text} is not NODE:PORT`, { hint: 'such as leaf1:eth1' });
  const node = nodeNamed(state.topology, end.node);
  if (node?.in !== undefined) {
    const reason = `${end.node} runs beside ${node.in} and has no ports`;
    throw new LeafdError('lab-end-invalid', reason, { hint: `${node.in}:${end.port}` });
  }
  if (node !== undefined) return end;
  const names = state.topology.nodes.map((node) => node.name).join(', ');
  throw new LeafdError('lab-node-absent', `there is no node ${end.node} in ${state.topology.name}`, {
    hint: `nodes: ${names}`,
  });
}

function cabled(state: LabState, text: string): { end: LabEnd; far: LabEnd; link: LabLink } {
  const end = endNamed(state, text);
  const cable = cableAt(state.links, end);
  if (cable !== undefined) return { end, ...cable };
  const ports = state.links.flatMap(({ a, b }) => [a, b]).filter((one) => one.node === end.node);
  throw new LeafdError('lab-cable-absent', `no cable is plugged into ${text}`, {
    hint: `ports of ${end.node}: ${ports.map((one) => one.port).join(', ') || 'none'}`,
  });
}

/** Cuts the cable at `NODE:PORT`; a cable that is cut already is cut anew, in the new way. */
export async function cutCable(state: LabState, text: string, options: CutOptions): Promise<CutState> {
  const { end, far } = cabled(state, text);
  const cut = cutOf(end, options);
  await restore(state, [end, far]);
  state.cuts = [...state.cuts.filter((one) => !touches(one, [end, far])), cut];
  if (cut.kind === 'down') {
    const { netns, port } = await portToCut(state, end, far);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', port, 'down']);
  } else {
    needNft();
    await drop(state, far, cut);
    if (cut.kind !== 'one-way') await drop(state, end, cut);
  }
  return cut;
}

/** The named port; of a cable into a router the other one, for a leafd brings up what it has moved in. */
async function portToCut(state: LabState, end: LabEnd, far: LabEnd) {
  const { name } = state.topology;
  for (const one of [end, far]) {
    const netns = await portNetns(state.topology, one);
    if (netns === netnsOf(name, one.node)) return { netns, port: one.port };
  }
  return { netns: await portNetns(state.topology, end), port: end.port };
}

function cutOf(end: LabEnd, options: CutOptions): CutState {
  const chosen = [options.silent === true, options.oneWay === true, options.lossPercent !== undefined];
  if (chosen.filter(Boolean).length > 1) {
    throw new LeafdError('usage', 'a cable is cut in one way: silent, one-way or loss');
  }
  const name = formatEnd(end);
  if (options.lossPercent !== undefined) {
    const lossPercent = options.lossPercent;
    if (!(lossPercent > 0 && lossPercent <= 100))
      throw new LeafdError('usage', 'loss is more than 0 and at most 100 %');
    return { end: name, kind: 'loss', lossPercent };
  }
  const kind: CutKind = options.oneWay === true ? 'one-way' : options.silent === true ? 'silent' : 'down';
  return { end: name, kind };
}

/** Takes back whatever cut the cable at `NODE:PORT`; harmless on a whole cable. */
export async function mendCable(state: LabState, text: string): Promise<{ mended: boolean }> {
  const { end, far, link } = cabled(state, text);
  const mended = state.cuts.some((cut) => touches(cut, [end, far]));
  await restore(state, [end, far]);
  await bringPortsUp(state, link);
  state.cuts = state.cuts.filter((cut) => !touches(cut, [end, far]));
  return { mended };
}

/** Unplugs `from` and plugs its cable into `to`; returns the ends that were left without a port. */
export async function moveCable(
  state: LabState,
  fromText: string,
  toText: string,
): Promise<{ unplugged: string[] }> {
  const from = endNamed(state, fromText);
  const to = endNamed(state, toText);
  if (from.node === to.node)
    throw new LeafdError('lab-end-invalid', 'a cable joins two nodes, not one to itself');
  const old = [cableAt(state.links, from), cableAt(state.links, to)].filter((cable) => cable !== undefined);
  const ends = [from, to, ...old.map((cable) => cable.far)];
  for (const end of [from, to]) await refuseOtherPort(state, end);
  await restore(state, ends);
  const { name } = state.topology;
  for (const link of new Set(old.map((cable) => cable.link))) {
    await runOrThrow(['ip', '-n', await portNetns(state.topology, link.a), 'link', 'delete', link.a.port]);
  }
  const links = movedLinks(state.links, from, to);
  const added = links.at(-1)!;
  state.cuts = state.cuts.filter((cut) => !touches(cut, ends));
  state.links = links.slice(0, -1);
  await runIp(cableCommands(name, [added], state.cablesMade++));
  state.links = links;
  await bringPortsUp(state, added);
  const gone = old.map((cable) => cable.far).filter((end) => !sameEnd(end, from) && !sameEnd(end, to));
  return { unplugged: gone.map(formatEnd) };
}

/** A port that is no cable's (lo, a bridge) is not replaced: nothing has been touched when this throws. */
async function refuseOtherPort(state: LabState, end: LabEnd): Promise<void> {
  if (cableAt(state.links, end) !== undefined) return;
  const netns = await portNetns(state.topology, end);
  if ((await run(['ip', '-n', netns, 'link', 'show', end.port])).exitCode !== 0) return;
  throw new LeafdError('lab-end-invalid', `${formatEnd(end)} is there already and is not a cable's end`);
}

/**
 * The port commands of one cable, with all the lab's cables in view. The leafd of a node takes a port that it wants as
 * soon as it sees it, maybe between the look and the commands: they are run again where it is then.
 */
async function bringPortsUp(state: LabState, link: LabLink): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const places = new Map<LabEnd, string>();
    for (const end of [link.a, link.b]) places.set(end, await portNetns(state.topology, end));
    try {
      return await runIp(portCommands(state.topology, state.links, [link], (end) => places.get(end)!));
    } catch (error) {
      if (attempt === MOST_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function touches(cut: CutState, ends: readonly LabEnd[]): boolean {
  return ends.some((end) => formatEnd(end) === cut.end);
}

/** Removes our nftables tables from ports that exist. */
async function restore(state: LabState, ends: readonly LabEnd[]): Promise<void> {
  const silent = state.cuts.filter((cut) => cut.kind !== 'down' && touches(cut, ends));
  if (silent.length === 0) return;
  for (const end of ends) {
    await run(await inside(state, end, ['nft', 'delete', 'table', 'netdev', tableOf(end.port)]));
  }
}

async function drop(state: LabState, end: LabEnd, cut: CutState): Promise<void> {
  const lossPercent = cut.lossPercent ?? 100;
  const share = lossPercent === 100 ? '' : `numgen random mod 10000 < ${Math.ceil(lossPercent * 100)} `;
  const rules = [
    `table netdev ${tableOf(end.port)} {`,
    'chain cut {',
    `type filter hook ingress device "${end.port}" priority -500; policy accept;`,
    `${share}drop`,
    '}',
    '}',
    '',
  ];
  await runOrThrow(await inside(state, end, ['nft', '-f', '-']), { input: rules.join('\n') });
}

async function inside(state: LabState, end: LabEnd, argv: readonly string[]): Promise<string[]> {
  return ['ip', 'netns', 'exec', await portNetns(state.topology, end), ...argv];
}

// nftables takes fewer characters in names than the kernel does in those of interfaces.
function tableOf(port: string): string {
  return `leafd_lab_${port.replace(/[^A-Za-z0-9]/g, (character) => `_${character.charCodeAt(0)}`)}`;
}

function needNft(): void {
  if (isInstalled({ program: 'nft', debianPackage: 'nftables' })) return;
  throw new LeafdError('program-absent', 'not installed: nft', { hint: 'apt install nftables' });
}

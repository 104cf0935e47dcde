// How the cells of FRR look at both sides: vtysh's JSON, leafd's API.

import type { RouteView } from '../../../src/api/views.ts';
import { fabric } from './frr.lab.ts';
import { editor, inTurn, peerOf, routes } from './harness.ts';
import { ours } from './star.ts';

/** The page of FRR's manual (package frr-doc) that lists what there is. */
export const MANUAL = 'FRR 8.4.4 manual, html/bgp.html';

// biome-ignore lint/suspicious/noExplicitAny: vtysh has a shape of its own for every question.
type Json = any;

export const vtysh = (node: string, ...lines: string[]): Promise<string> =>
  fabric.out(node, 'vtysh', '--vty_socket', fabric.directory(node), ...lines.flatMap((line) => ['-c', line]));

const configuring = inTurn();

/** Lines of configuration for f1, below `router bgp`. */
export const tellF1 = (...lines: string[]): Promise<string> =>
  configuring(() => vtysh('f1', 'configure terminal', 'router bgp 65000', ...lines));

export const show = async (command: string, node = 'f1'): Promise<Json> =>
  JSON.parse(await vtysh(node, `show bgp ${command} json`));

/** FRR's path to a prefix over a wire, or undefined. */
export async function path(prefix: string, wire?: number, node = 'f1'): Promise<Json> {
  const { paths = [] } = await show(`ipv4 unicast ${prefix}`, node);
  return paths.filter((one: Json) => wire === undefined || one.peer.peerId === ours(wire))[0];
}

export const paths = async (prefix: string, wire: number): Promise<Json[]> =>
  ((await show(`ipv4 unicast ${prefix}`)).paths ?? []).filter((one: Json) => one.peer.peerId === ours(wire));

export const neighbour = async (wire: number, node = 'f1'): Promise<Json> =>
  (await show(`neighbors ${ours(wire)}`, node))[ours(wire)];

/** leafd's path to a prefix from a peer, or undefined. */
export async function route(
  node: string,
  prefix: string,
  from?: string,
  family = 'ipv4',
): Promise<RouteView | undefined> {
  return (await routes(fabric, node, { family, prefix })).find(
    (one) => from === undefined || one.peer === from,
  );
}

export const wire = (n: number, node = 'a') => peerOf(fabric, node, `w${n}`);

export const change = editor(fabric);

export const up = (seen: { state: string }): boolean => seen.state === 'established';
export const established = '"bgpState":"Established"';

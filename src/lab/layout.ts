// Where the nodes and cables of a drawing go; pure. Nodes stand in rows by role: spines over leaves over hosts, and
// what has no known role by its distance from the hosts. Within rows, the barycentre method keeps crossings few.
// A node is as wide as its ports need, and the ports of a side stand in the order of their far ends, so that the
// cables of one node never cross each other. A lab without rows (a ring, a chain) is drawn as a circle.

import { type LabEnd, type LabLink, type LabNode, speaksBgp, type Topology } from './topology.ts';

export interface PlacedNode {
  readonly node: LabNode;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface PlacedLink {
  /** The `d` of an SVG path. */
  readonly path: string;
  readonly middle: { readonly x: number; readonly y: number };
  readonly ports: readonly { x: number; y: number; text: string; anchor: 'start' | 'middle' | 'end' }[];
}

export interface LabLayout {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly PlacedNode[];
  /** In the order of the links given. */
  readonly links: readonly PlacedLink[];
}

const MARGIN = 24;
const TOP = 72;
const BOTTOM = 44;
const ROW_GAP = 112;
const NODE_GAP = 22;
const NODE_HEIGHT = 58;
const PORT_PITCH = 40;
const BESIDE_GAP = 84;
const ARC_BASE = 26;
const ARC_STEP = 16;
const ROW_ARC_ORDER = 1e6;
const DIGIT_WIDTH = 6.2;
const ROUTER_WIDTH = 118;
const HOST_WIDTH = 112;

const roleRanks: Record<string, number> = {
  host: 0,
  leaf: 1,
  tor: 1,
  hypervisor: 1,
  spine: 2,
  superspine: 3,
  core: 3,
};

/** Places everything. */
export function layOut(topology: Topology, links: readonly LabLink[]): LabLayout {
  const ranks = rankNodes(topology.nodes, links);
  const rows = [...new Set(ranks.values())].sort((one, other) => other - one);
  if (rows.length < 2 && topology.nodes.length > 2) return circleLayout(topology, links);
  const order = orderRows(
    rows.map((rank) => topology.nodes.filter((node) => ranks.get(node.name) === rank)),
    links,
  );
  return rowLayout(order, links, ranks);
}

/** Rows from below: hosts 0. A node without a known role is one above the lowest neighbour that has one. */
function rankNodes(nodes: readonly LabNode[], links: readonly LabLink[]): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const node of nodes) {
    const role = node.role ?? roleOf(node);
    const rank = role === undefined ? undefined : roleRanks[role];
    if (rank !== undefined) ranks.set(node.name, rank);
  }
  if (ranks.size === 0) return new Map(nodes.map((node) => [node.name, 0]));
  for (let round = 0; round < nodes.length && ranks.size < nodes.length; round++) {
    const found = new Map<string, number>();
    for (const node of nodes) {
      if (ranks.has(node.name)) continue;
      const near = neighboursOf(node.name, links)
        .map((name) => ranks.get(name))
        .filter((rank) => rank !== undefined);
      if (near.length > 0) found.set(node.name, Math.min(...near) + 1);
    }
    if (found.size === 0) break;
    for (const [name, rank] of found) ranks.set(name, rank);
  }
  for (const node of nodes) if (!ranks.has(node.name)) ranks.set(node.name, 1);
  return settleHosts(nodes, links, ranks);
}

function roleOf(node: LabNode): string | undefined {
  if (!speaksBgp(node) || node.in !== undefined) return 'host';
  return node.kind === 'hypervisor' ? 'hypervisor' : /^[a-z]+/.exec(node.name)?.[0];
}

/** Ranks without gaps, and hosts right under their router, so that no cable passes behind another row. */
function settleHosts(
  nodes: readonly LabNode[],
  links: readonly LabLink[],
  ranks: ReadonlyMap<string, number>,
): Map<string, number> {
  const steps = [...new Set(ranks.values())].sort((one, other) => one - other);
  const settled = new Map([...ranks].map(([name, rank]) => [name, steps.indexOf(rank)]));
  for (const node of nodes) {
    if (speaksBgp(node)) continue;
    const near = neighboursOf(node.name, links).map((name) => settled.get(name)!);
    const lowest = Math.min(...near);
    if (near.length > 0 && lowest > 1) settled.set(node.name, lowest - 1);
  }
  return settled;
}

function neighboursOf(name: string, links: readonly LabLink[]): string[] {
  return links.flatMap(({ a, b }) => (a.node === name ? [b.node] : b.node === name ? [a.node] : []));
}

/** Sweeps down and up, each row by the mean place of its neighbours; the order with the fewest crossings wins. */
function orderRows(rows: LabNode[][], links: readonly LabLink[]): LabNode[][] {
  let best = rows;
  let fewest = crossings(rows, links);
  let current = rows;
  for (let sweep = 0; sweep < 8 && fewest > 0; sweep++) {
    const downwards = sweep % 2 === 0;
    const indexes = rows.map((_, index) => (downwards ? index : rows.length - 1 - index));
    current = current.map((row) => [...row]);
    for (const index of indexes.slice(1)) {
      const fixed = placesOf(current[downwards ? index - 1 : index + 1]);
      const place = (node: LabNode, own: number) => {
        const near = neighboursOf(node.name, links)
          .map((name) => fixed.get(name))
          .filter((at) => at !== undefined);
        return near.length === 0 ? own : near.reduce((sum, at) => sum + at, 0) / near.length;
      };
      const wanted = new Map(
        current[index].map((node, own) => [node, place(node, own / current[index].length)]),
      );
      current[index].sort((one, other) => wanted.get(one)! - wanted.get(other)!);
    }
    const count = crossings(current, links);
    if (count < fewest) {
      fewest = count;
      best = current;
    }
  }
  return best;
}

/** Places within a row from 0 to 1, so that rows of different lengths compare. */
function placesOf(row: readonly LabNode[]): Map<string, number> {
  return new Map(row.map((node, index) => [node.name, (index + 0.5) / row.length]));
}

function crossings(rows: readonly (readonly LabNode[])[], links: readonly LabLink[]): number {
  let count = 0;
  for (let index = 1; index < rows.length; index++) {
    const upper = new Map(rows[index - 1].map((node, at) => [node.name, at]));
    const lower = new Map(rows[index].map((node, at) => [node.name, at]));
    const pairs: [number, number][] = [];
    for (const { a, b } of links) {
      const [top, bottom] = upper.has(a.node) ? [a, b] : [b, a];
      const from = upper.get(top.node);
      const to = lower.get(bottom.node);
      if (from !== undefined && to !== undefined) pairs.push([from, to]);
    }
    for (const [from, to] of pairs) for (const [f, t] of pairs) if (from < f && to > t) count++;
  }
  return count;
}

function rowLayout(
  rows: readonly (readonly LabNode[])[],
  links: readonly LabLink[],
  ranks: ReadonlyMap<string, number>,
): LabLayout {
  const widths = rows.map((row) => row.map((node) => widthOf(node, links, ranks)));
  const gaps = rows.map((row) => (hasCables(row, links) ? BESIDE_GAP : NODE_GAP));
  const rowWidths = widths.map((row, at) => row.reduce((sum, width) => sum + width + gaps[at], -gaps[at]));
  const top = TOP + (rows.length > 0 ? arcHeight(rows[0], links) : 0);
  const width = Math.max(360, ...rowWidths) + 2 * MARGIN;
  const nodes: PlacedNode[] = [];
  for (const [index, row] of rows.entries()) {
    // A row is spread over the width, so that spines stand over the middle of what they serve.
    const slack = row.length > 0 ? (width - 2 * MARGIN - rowWidths[index]) / row.length : 0;
    let x = MARGIN + slack / 2;
    for (const [at, node] of row.entries()) {
      const y = top + index * (NODE_HEIGHT + ROW_GAP);
      nodes.push({ node, x: Math.round(x), y, width: widths[index][at], height: NODE_HEIGHT });
      x += widths[index][at] + gaps[index] + slack;
    }
  }
  const height = top + rows.length * (NODE_HEIGHT + ROW_GAP) - ROW_GAP + BOTTOM;
  return { width, height, nodes, links: placeCables(nodes, links) };
}

function hasCables(row: readonly LabNode[], links: readonly LabLink[]): boolean {
  const names = new Set(row.map((node) => node.name));
  return links.some(({ a, b }) => names.has(a.node) && names.has(b.node));
}

/** Room for the cables of a row that pass over nodes between their ends. */
function arcHeight(row: readonly LabNode[], links: readonly LabLink[]): number {
  const at = new Map(row.map((node, index) => [node.name, index]));
  const between = links.map(
    ({ a, b }) => Math.abs((at.get(a.node) ?? Number.NaN) - (at.get(b.node) ?? Number.NaN)) - 1,
  );
  const most = Math.max(0, ...between.filter((count) => count > 0));
  return most === 0 ? 0 : ARC_BASE + most * ARC_STEP;
}

function widthOf(node: LabNode, links: readonly LabLink[], ranks: ReadonlyMap<string, number>): number {
  const own = ranks.get(node.name)!;
  const far = neighboursOf(node.name, links).map((name) => ranks.get(name)!);
  const most = Math.max(far.filter((rank) => rank > own).length, far.filter((rank) => rank < own).length);
  const words = !speaksBgp(node) ? 0 : `${node.kind} AS ${node.asn ?? ''}`.length;
  const least = !speaksBgp(node) ? HOST_WIDTH : ROUTER_WIDTH;
  return Math.round(Math.max(least, most * PORT_PITCH, Math.max(words, node.name.length) * DIGIT_WIDTH + 20));
}

type Side = 'above' | 'below' | 'beside';

/** Which edge of `near` a cable to `far` leaves from; over the heads of those between, from the top. */
function sideOf(near: PlacedNode, far: PlacedNode, nodes: readonly PlacedNode[]): Side {
  if (far.y !== near.y) return far.y < near.y ? 'above' : 'below';
  return countBetween(near, far, nodes) === 0 ? 'beside' : 'above';
}

function countBetween(one: PlacedNode, other: PlacedNode, nodes: readonly PlacedNode[]): number {
  const [low, high] = one.x < other.x ? [one.x, other.x] : [other.x, one.x];
  return nodes.filter((node) => node.y === one.y && node.x > low && node.x < high).length;
}

/** Order of ports on an edge: by the far end's place; arcs within the row nest, to the left first. */
function portOrder(near: PlacedNode, far: PlacedNode): number {
  if (near.y !== far.y) return far.x;
  const distance = Math.abs(far.x - near.x);
  return far.x < near.x ? distance - ROW_ARC_ORDER : ROW_ARC_ORDER - distance;
}

/** Cables of rows: ports on the top and bottom edges, in the order of their far ends. */
function placeCables(nodes: readonly PlacedNode[], links: readonly LabLink[]): PlacedLink[] {
  const placed = new Map(nodes.map((node) => [node.node.name, node]));
  const portPlace = (near: LabEnd, far: LabEnd): number => {
    const own = placed.get(near.node)!;
    const side = sideOf(own, placed.get(far.node)!, nodes);
    const ends = endsOf(near.node, links).map((end) => ({
      port: end.near.port,
      far: placed.get(end.far.node)!,
    }));
    const others = ends.filter((end) => sideOf(own, end.far, nodes) === side);
    others.sort((one, other) => portOrder(own, one.far) - portOrder(own, other.far));
    const at = others.findIndex((one) => one.port === near.port);
    return round(own.x + (own.width * (at + 1)) / (others.length + 1));
  };
  return links.map(({ a, b }) => {
    const [nodeA, nodeB] = [placed.get(a.node)!, placed.get(b.node)!];
    if (nodeA.y === nodeB.y) {
      const ends = nodeA.x < nodeB.x ? ([nodeA, nodeB, a, b] as const) : ([nodeB, nodeA, b, a] as const);
      const between = countBetween(nodeA, nodeB, nodes);
      return between === 0 ? besideCable(...ends) : arcCable(...ends, between, portPlace);
    }
    const [top, bottom, upper, lower] = nodeA.y < nodeB.y ? [nodeA, nodeB, a, b] : [nodeB, nodeA, b, a];
    const from = { x: portPlace(upper, lower), y: top.y + top.height };
    const to = { x: portPlace(lower, upper), y: bottom.y };
    const bend = (to.y - from.y) / 2;
    return {
      path: `M${from.x} ${from.y}C${from.x} ${from.y + bend} ${to.x} ${to.y - bend} ${to.x} ${to.y}`,
      middle: { x: round((from.x + to.x) / 2), y: round((from.y + to.y) / 2 + 3) },
      ports: [
        { x: from.x, y: from.y + 12, text: upper.port, anchor: 'middle' },
        { x: to.x, y: to.y - 5, text: lower.port, anchor: 'middle' },
      ],
    };
  });
}

/** A cable between neighbours in a row. */
function besideCable(left: PlacedNode, right: PlacedNode, leftEnd: LabEnd, rightEnd: LabEnd): PlacedLink {
  const from = { x: left.x + left.width, y: left.y + left.height / 2 };
  const to = { x: right.x, y: from.y };
  return {
    path: `M${from.x} ${from.y}L${to.x} ${to.y}`,
    middle: { x: round((from.x + to.x) / 2), y: from.y - 6 },
    ports: [
      { x: from.x + 4, y: from.y + 12, text: leftEnd.port, anchor: 'start' },
      { x: to.x - 4, y: to.y + 12, text: rightEnd.port, anchor: 'end' },
    ],
  };
}

/** A cable within a row over the heads of those between. */
function arcCable(
  left: PlacedNode,
  right: PlacedNode,
  leftEnd: LabEnd,
  rightEnd: LabEnd,
  between: number,
  portPlace: (near: LabEnd, far: LabEnd) => number,
): PlacedLink {
  const [start, end] = [portPlace(leftEnd, rightEnd), portPlace(rightEnd, leftEnd)];
  const peak = left.y - (ARC_BASE + ARC_STEP * between) * 1.3;
  return {
    path: `M${start} ${left.y}C${start} ${peak} ${end} ${peak} ${end} ${right.y}`,
    middle: { x: round((start + end) / 2), y: round(left.y * 0.25 + peak * 0.75 + 3) },
    ports: [
      { x: start, y: left.y - 5, text: leftEnd.port, anchor: 'middle' },
      { x: end, y: right.y - 5, text: rightEnd.port, anchor: 'middle' },
    ],
  };
}

function endsOf(node: string, links: readonly LabLink[]): { near: LabEnd; far: LabEnd }[] {
  return links.flatMap(({ a, b }) =>
    a.node === node ? [{ near: a, far: b }] : b.node === node ? [{ near: b, far: a }] : [],
  );
}

function circleLayout(topology: Topology, links: readonly LabLink[]): LabLayout {
  const count = topology.nodes.length;
  const flat = new Map(topology.nodes.map((node) => [node.name, 0]));
  const nodeWidth = Math.max(...topology.nodes.map((node) => widthOf(node, [], flat)));
  const radius = Math.max(160, (count * (nodeWidth + 60)) / (2 * Math.PI));
  const middle = { x: MARGIN + nodeWidth / 2 + radius, y: TOP + NODE_HEIGHT / 2 + radius };
  const nodes = topology.nodes.map((node, index): PlacedNode => {
    const angle = (2 * Math.PI * index) / count - Math.PI / 2;
    const x = Math.round(middle.x + radius * Math.cos(angle) - nodeWidth / 2);
    const y = Math.round(middle.y + radius * Math.sin(angle) - NODE_HEIGHT / 2);
    return { node, x, y, width: nodeWidth, height: NODE_HEIGHT };
  });
  const placed = new Map(nodes.map((node) => [node.node.name, node]));
  return {
    width: Math.round(2 * (radius + MARGIN) + nodeWidth),
    height: Math.round(2 * radius + NODE_HEIGHT + TOP + BOTTOM),
    nodes,
    links: links.map(({ a, b }) => straightCable(placed.get(a.node)!, placed.get(b.node)!, a, b)),
  };
}

/** From edge to edge on the line between two centres. */
function straightCable(one: PlacedNode, other: PlacedNode, a: LabEnd, b: LabEnd): PlacedLink {
  const from = edgePoint(one, other);
  const to = edgePoint(other, one);
  const label = (at: { x: number; y: number }, towards: { x: number; y: number }, text: string) => {
    const length = Math.max(1, Math.hypot(towards.x - at.x, towards.y - at.y));
    const [dx, dy] = [(towards.x - at.x) / length, (towards.y - at.y) / length];
    return { x: round(at.x + dx * 18), y: round(at.y + dy * 14 + 3), text, anchor: 'middle' as const };
  };
  return {
    path: `M${from.x} ${from.y}L${to.x} ${to.y}`,
    middle: { x: round((from.x + to.x) / 2), y: round((from.y + to.y) / 2) },
    ports: [label(from, to, a.port), label(to, from, b.port)],
  };
}

function edgePoint(node: PlacedNode, towards: PlacedNode): { x: number; y: number } {
  const center = { x: node.x + node.width / 2, y: node.y + node.height / 2 };
  const dx = towards.x + towards.width / 2 - center.x;
  const dy = towards.y + towards.height / 2 - center.y;
  const scale = Math.min(
    node.width / 2 / Math.max(1, Math.abs(dx)),
    node.height / 2 / Math.max(1, Math.abs(dy)),
  );
  return { x: round(center.x + dx * scale), y: round(center.y + dy * scale) };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

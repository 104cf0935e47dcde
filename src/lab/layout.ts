// Where the nodes and cables of a drawing go; pure. Nodes stand in rows by role: spines over leaves over hosts, and
// what has no known role by its distance from the hosts. Within rows, the barycentre method keeps crossings few.
// A node is as wide as its ports need, and the ports of a side stand in the order of their far ends, so that the
// cables of one node never cross each other. A lab without rows (a ring, a chain) is drawn as a circle.

import type { LabEnd, LabLink, LabNode, Topology } from './topology.ts';

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
    const role = node.role ?? (node.kind === 'host' ? 'host' : /^[a-z]+/.exec(node.name)?.[0]);
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
  return ranks;
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
  const rowWidths = widths.map((row) => row.reduce((sum, width) => sum + width + NODE_GAP, -NODE_GAP));
  const width = Math.max(360, ...rowWidths) + 2 * MARGIN;
  const nodes: PlacedNode[] = [];
  for (const [index, row] of rows.entries()) {
    // A row is spread over the width, so that spines stand over the middle of what they serve.
    const slack = row.length > 0 ? (width - 2 * MARGIN - rowWidths[index]) / row.length : 0;
    let x = MARGIN + slack / 2;
    for (const [at, node] of row.entries()) {
      const y = TOP + index * (NODE_HEIGHT + ROW_GAP);
      nodes.push({ node, x: Math.round(x), y, width: widths[index][at], height: NODE_HEIGHT });
      x += widths[index][at] + NODE_GAP + slack;
    }
  }
  const height = TOP + rows.length * (NODE_HEIGHT + ROW_GAP) - ROW_GAP + BOTTOM;
  return { width, height, nodes, links: placeCables(nodes, links) };
}

function widthOf(node: LabNode, links: readonly LabLink[], ranks: ReadonlyMap<string, number>): number {
  const own = ranks.get(node.name)!;
  const far = neighboursOf(node.name, links).map((name) => ranks.get(name)!);
  const most = Math.max(far.filter((rank) => rank > own).length, far.filter((rank) => rank < own).length);
  return Math.max(node.kind === 'host' ? HOST_WIDTH : ROUTER_WIDTH, most * PORT_PITCH);
}

type Side = 'above' | 'below' | 'beside';

/** Cables of rows: ports on the top and bottom edges, in the order of their far ends. */
function placeCables(nodes: readonly PlacedNode[], links: readonly LabLink[]): PlacedLink[] {
  const placed = new Map(nodes.map((node) => [node.node.name, node]));
  const sideOf = (near: PlacedNode, far: PlacedNode): Side =>
    far.y < near.y ? 'above' : far.y > near.y ? 'below' : 'beside';
  const portPlace = (near: LabEnd, far: LabEnd): number => {
    const own = placed.get(near.node)!;
    const side = sideOf(own, placed.get(far.node)!);
    const others = endsOf(near.node, links).filter((one) => sideOf(own, placed.get(one.far.node)!) === side);
    others.sort((one, other) => placed.get(one.far.node)!.x - placed.get(other.far.node)!.x);
    const at = others.findIndex((one) => one.near.port === near.port);
    return own.x + (own.width * (at + 1)) / (others.length + 1);
  };
  return links.map(({ a, b }) => {
    const [nodeA, nodeB] = [placed.get(a.node)!, placed.get(b.node)!];
    if (sideOf(nodeA, nodeB) === 'beside') return besideCable(nodes, nodeA, nodeB, a, b);
    const [top, bottom, upper, lower] = nodeA.y < nodeB.y ? [nodeA, nodeB, a, b] : [nodeB, nodeA, b, a];
    const from = { x: round(portPlace(upper, lower)), y: top.y + top.height };
    const to = { x: round(portPlace(lower, upper)), y: bottom.y };
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

/** A cable within a row: straight between neighbours, over the heads of those between. */
function besideCable(
  nodes: readonly PlacedNode[],
  one: PlacedNode,
  other: PlacedNode,
  a: LabEnd,
  b: LabEnd,
): PlacedLink {
  const [left, right, leftEnd, rightEnd] = one.x < other.x ? [one, other, a, b] : [other, one, b, a];
  const between = nodes.filter((node) => node.y === left.y && node.x > left.x && node.x < right.x).length;
  const from = { x: left.x + left.width, y: left.y + left.height / 2 };
  const to = { x: right.x, y: from.y };
  if (between === 0) {
    return {
      path: `M${from.x} ${from.y}L${to.x} ${to.y}`,
      middle: { x: round((from.x + to.x) / 2), y: from.y - 4 },
      ports: [
        { x: from.x + 3, y: from.y + 12, text: leftEnd.port, anchor: 'start' },
        { x: to.x - 3, y: to.y + 24, text: rightEnd.port, anchor: 'end' },
      ],
    };
  }
  const [start, end] = [left.x + left.width - 14, right.x + 14];
  const peak = left.y - 26 - 10 * between;
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
  const radius = Math.max(130, (count * (ROUTER_WIDTH + 40)) / (2 * Math.PI));
  const middle = { x: MARGIN + ROUTER_WIDTH / 2 + radius, y: TOP + NODE_HEIGHT / 2 + radius };
  const nodes = topology.nodes.map((node, index): PlacedNode => {
    const angle = (2 * Math.PI * index) / count - Math.PI / 2;
    const x = Math.round(middle.x + radius * Math.cos(angle) - ROUTER_WIDTH / 2);
    const y = Math.round(middle.y + radius * Math.sin(angle) - NODE_HEIGHT / 2);
    return { node, x, y, width: ROUTER_WIDTH, height: NODE_HEIGHT };
  });
  const placed = new Map(nodes.map((node) => [node.node.name, node]));
  return {
    width: Math.round(2 * (radius + MARGIN) + ROUTER_WIDTH),
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

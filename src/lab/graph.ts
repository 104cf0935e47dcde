// A lab as SVG: routers and hosts in layers, spines above leaves above hosts, cables as curves between ports. The
// places come from layout.ts; this file only draws. Text is escaped; the file stands alone (no fonts, no scripts)
// and reads on light and dark pages, because it brings its own ground.

import { type LabLayout, layOut, type PlacedLink, type PlacedNode } from './layout.ts';
import { type LabLink, type NodeKind, speaksBgp, type Topology } from './topology.ts';

export interface DrawnLink {
  readonly link: LabLink;
  readonly state: string;
  readonly lossPercent?: number;
}

export interface DrawnNode {
  readonly alive: boolean;
  readonly established: number;
  readonly expected: number;
}

export interface Drawing {
  readonly topology: Topology;
  readonly links: readonly DrawnLink[];
  /** Nodes of a lab that is up; those of a mere file have no entry. */
  readonly nodes: ReadonlyMap<string, DrawnNode>;
}

const kindColors: Record<NodeKind, { fill: string; edge: string }> = {
  leafd: { fill: '#e7f5ee', edge: '#1f8a5b' },
  hypervisor: { fill: '#e3f4f7', edge: '#17788a' },
  frr: { fill: '#fdf0e3', edge: '#c7701a' },
  bird: { fill: '#eaf0fb', edge: '#3763b8' },
  gobgp: { fill: '#e6f5f8', edge: '#1b8497' },
  exabgp: { fill: '#f4ecfa', edge: '#7d48a8' },
  openbgpd: { fill: '#fbf6da', edge: '#93810f' },
  host: { fill: '#f3f4f6', edge: '#7b8494' },
  guest: { fill: '#f6f3fb', edge: '#8a76b3' },
};

const style = `
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1d2430 }
  .title { font-size: 16px; font-weight: 600 }
  .note { font-size: 11px; fill: #5c6675 }
  .name { font-size: 13px; font-weight: 600 }
  .detail { font-size: 10.5px; fill: #4a5361 }
  .port { font-size: 9px; fill: #5c6675; stroke: #fff; stroke-width: 3px; paint-order: stroke }
  .cable { fill: none; stroke: #8b95a5; stroke-width: 1.6 }
  .cable.cut { stroke: #c62b2b; stroke-dasharray: 6 4 }
  .mark { font-size: 10px; font-weight: 600; fill: #c62b2b; stroke: #fff; stroke-width: 4px; paint-order: stroke }
  .bad { fill: #c62b2b }`;

/** The whole SVG document. */
export function drawLab(drawing: Drawing): string {
  const layout = layOut(
    drawing.topology,
    drawing.links.map((one) => one.link),
  );
  const { width, height } = layout;
  const label = `lab ${drawing.topology.name}: ${drawing.topology.nodes.length} nodes, ${drawing.links.length} cables`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
    ` role="img" aria-label="${escapeXml(label)}">`,
    `<title>${escapeXml(label)}</title><style>${style}</style>`,
    `<rect width="${width}" height="${height}" rx="10" fill="#ffffff"/>`,
    `<text class="title" x="24" y="34">${escapeXml(drawing.topology.name)}</text>`,
    `<text class="note" x="24" y="51">${escapeXml(summary(drawing))}</text>`,
    ...layout.links.map((placed, index) => drawLink(placed, drawing.links[index])),
    ...layout.nodes.map((placed) => drawNode(placed, drawing.nodes.get(placed.node.name))),
    ...layout.links.map(drawPorts),
    drawLegend(drawing, layout),
    '</svg>',
    '',
  ].join('\n');
}

function summary(drawing: Drawing): string {
  const counts = `${drawing.topology.nodes.length} nodes, ${drawing.links.length} cables`;
  if (drawing.nodes.size === 0) return counts;
  let established = 0;
  let expected = 0;
  for (const node of drawing.nodes.values()) {
    established += Math.min(node.established, node.expected);
    expected += node.expected;
  }
  return `${counts}; ${established} of ${expected} session ends established`;
}

function drawLink(placed: PlacedLink, drawn: DrawnLink): string {
  const whole = drawn.state === 'up';
  const path = `<path class="cable${whole ? '' : ' cut'}" d="${placed.path}"/>`;
  if (whole) return path;
  const words = drawn.state === 'loss' ? `loss ${drawn.lossPercent} %` : drawn.state;
  const { x, y } = placed.middle;
  return `${path}<text class="mark" x="${x}" y="${y}" text-anchor="middle">${escapeXml(words)}</text>`;
}

function drawPorts(placed: PlacedLink): string {
  return placed.ports
    .map(
      ({ x, y, text, anchor }) =>
        `<text class="port" x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(text)}</text>`,
    )
    .join('');
}

function drawNode({ node, x, y, width, height }: PlacedNode, live: DrawnNode | undefined): string {
  const dead = live !== undefined && !live.alive;
  const { fill, edge } = dead ? { fill: '#fdeaea', edge: '#c62b2b' } : kindColors[node.kind];
  const center = x + width / 2;
  const details = detailsOf(node, live);
  const first = y + height / 2 - (details.length * 13) / 2 + 5;
  const lines = details.map(({ text, bad }, index) => {
    const attributes = `class="detail${bad ? ' bad' : ''}" x="${center}" y="${first + 14 + index * 13}"`;
    return `<text ${attributes} text-anchor="middle">${escapeXml(text)}</text>`;
  });
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="7" `,
    `fill="${fill}" stroke="${edge}" stroke-width="1.5"/>`,
    `<text class="name" x="${center}" y="${first}" text-anchor="middle">${escapeXml(node.name)}</text>`,
    ...lines,
  ].join('');
}

function detailsOf(node: PlacedNode['node'], live: DrawnNode | undefined): { text: string; bad: boolean }[] {
  if (!speaksBgp(node)) {
    const shown = node.addresses
      .slice(0, 2)
      .map((address) => ({ text: address.replace(/\/(32|128)$/, ''), bad: false }));
    return live !== undefined && !live.alive ? [{ text: 'gone', bad: true }] : shown;
  }
  const asn = node.asn === undefined ? '' : ` AS ${node.asn}`;
  const lines = [{ text: `${node.kind}${asn}`, bad: false }];
  if (live === undefined) return lines;
  if (!live.alive) return [...lines, { text: 'not running', bad: true }];
  const text = `${live.established}/${live.expected} sessions`;
  return [...lines, { text, bad: live.established < live.expected }];
}

function drawLegend(drawing: Drawing, layout: LabLayout): string {
  const kinds = [...new Set(drawing.topology.nodes.map((node) => node.kind))];
  if (kinds.length < 3) return '';
  let x = 24;
  const parts = kinds.map((kind) => {
    const { fill, edge } = kindColors[kind];
    const y = layout.height - 26;
    const part =
      `<rect x="${x}" y="${y}" width="12" height="12" rx="3" fill="${fill}" stroke="${edge}"/>` +
      `<text class="note" x="${x + 18}" y="${y + 10}">${kind}</text>`;
    x += 34 + kind.length * 7;
    return part;
  });
  return parts.join('');
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

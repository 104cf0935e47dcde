// Drawings: everything is on the page, nothing overlaps, no cable of a Clos leaves a port on the wrong side, and text
// from a file cannot become markup.

import { describe, expect, it } from 'vitest';
import { drawLab } from './graph.ts';
import { layOut } from './layout.ts';
import { parseLab } from './read.ts';
import { movedLinks } from './topology.ts';

const read = (text: string) => parseLab(text, 'g.yaml', '/g.yaml');
const clos = read('name: g\nclos: {spines: 4, leaves: 8, hostsPerLeaf: 3}\n');
const ring = read(
  'name: ring\nnodes: {a: {kind: bird, config: x}, b: {kind: bird, config: x}, c: {kind: bird, config: x}}\n' +
    'links: [[a:e1, b:e1], [b:e2, c:e1], [c:e2, a:e2]]\n',
);

describe('layOut', () => {
  for (const topology of [clos, ring]) {
    it(`keeps the nodes of ${topology.name} on the page and apart`, () => {
      const { nodes, width, height } = layOut(topology, topology.links);
      expect(nodes).toHaveLength(topology.nodes.length);
      for (const one of nodes) {
        expect(one.x >= 0 && one.y >= 0 && one.x + one.width <= width && one.y + one.height <= height).toBe(
          true,
        );
        for (const other of nodes) {
          const apart =
            one === other ||
            one.x + one.width <= other.x ||
            other.x + other.width <= one.x ||
            one.y + one.height <= other.y ||
            other.y + other.height <= one.y;
          expect(apart, `${one.node.name} and ${other.node.name}`).toBe(true);
        }
      }
    });
  }

  it('puts spines over leaves over hosts, and gives each port a place of its own', () => {
    const { nodes, links } = layOut(clos, clos.links);
    const rowOf = (name: string) => nodes.find((one) => one.node.name === name)!.y;
    expect(rowOf('spine1')).toBeLessThan(rowOf('leaf1'));
    expect(rowOf('leaf1')).toBeLessThan(rowOf('h1'));
    const places = links.flatMap((link) => link.ports.map(({ x, y }) => `${x}/${y}`));
    expect(new Set(places).size).toBe(2 * clos.links.length);
  });

  it('orders hosts below their leaf after one has moved', () => {
    const links = movedLinks(clos.links, { node: 'h1', port: 'eth0' }, { node: 'leaf8', port: 'vm9' });
    const { nodes } = layOut(clos, links);
    const at = (name: string) => nodes.find((one) => one.node.name === name)!.x;
    expect(at('h1')).toBeGreaterThan(at('h21'));
  });
});

describe('drawLab', () => {
  const links = clos.links.map((link) => ({ link, state: 'up' }));

  it('draws every cable and node, and marks what is cut or dead', () => {
    const marked = links.map((one, index) => (index === 0 ? { ...one, state: 'loss', lossPercent: 5 } : one));
    const nodes = new Map([['spine1', { alive: false, established: 0, expected: 8 }]]);
    const svg = drawLab({ topology: clos, links: marked, nodes });
    expect(svg.match(/<path class="cable/g)).toHaveLength(clos.links.length);
    expect(svg.match(/<rect /g)).toHaveLength(clos.nodes.length + 1);
    expect(svg).toContain('loss 5 %');
    expect(svg).toContain('not running');
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  it('escapes text', () => {
    const nodes = clos.nodes.map((node) => ({ ...node, addresses: ['<script>"&'] }));
    const svg = drawLab({ topology: { ...clos, nodes }, links, nodes: new Map() });
    expect(svg).not.toContain('<script>');
    expect(svg).toContain('&#60;script&#62;');
  });
});

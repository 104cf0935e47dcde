// Several daemons at one node of a lab file: foreign ones in another node's namespace (`in:`), as speakers of a host
// beside its leafd, and the router namespace that a leafd with `passthrough:` makes. Its name is the machine's, so each
// node gets one of its own unless its configuration says otherwise. Pure.

import { type Document, isMap, parseDocument } from 'yaml';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import { suggestion } from '../intent/suggest.ts';
import type { Path } from '../intent/tree.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import type { LabFile } from './schema.ts';
import { type LabNode, type LabRouter, netnsOf, routerNetnsOf } from './topology.ts';

type Wrong = (path: Path, reason: string, hint?: string) => LeafdError;

const kindsBeside: readonly string[] = ['frr', 'bird', 'gobgp', 'exabgp', 'openbgpd'];
const keysOfNamespace = ['addresses', 'ports', 'forwarding', 'bridges'] as const;

/** Throws what is wrong with `in:` of nodes, and with names of router namespaces; `wrong` makes it with its place. */
export function checkBeside(file: LabFile, nodes: readonly LabNode[], wrong: Wrong): void {
  for (const node of nodes) {
    if (node.in !== undefined) checkNode(file, node, node.in, nodes, wrong);
    const taken = nodes.find(({ name, router }) => {
      const own = netnsOf(file.name, node.name);
      return router !== undefined && (router.netns === own || isOther(node, name, router.netns));
    });
    if (taken !== undefined) {
      const reason = `the router namespace of ${taken.name} is called ${taken.router!.netns} too`;
      throw wrong(['nodes', node.name], reason, 'choose another name, or passthrough.netns');
    }
  }
}

function isOther(node: LabNode, name: string, netns: string): boolean {
  return node.name !== name && node.router?.netns === netns;
}

function checkNode(
  file: LabFile,
  node: LabNode,
  home: string,
  nodes: readonly LabNode[],
  wrong: Wrong,
): void {
  const place = ['nodes', node.name];
  if (!kindsBeside.includes(node.kind))
    throw wrong([...place, 'in'], `is for ${kindsBeside.join(', ')}, not for ${node.kind}`);
  const found = nodes.find(({ name }) => name === home);
  if (found === undefined || found === node || found.in !== undefined) {
    const own = nodes.filter((one) => one.in === undefined).map(({ name }) => name);
    const reason = found === undefined ? `there is no node ${home}` : `${home} has no namespace of its own`;
    throw wrong([...place, 'in'], reason, suggestion(home, own) ?? `nodes: ${own.join(', ')}`);
  }
  const written = file.nodes?.[node.name];
  for (const key of keysOfNamespace)
    if (written?.[key] !== undefined)
      throw wrong([...place, key], `belongs to ${home}, whose namespace this is`, `nodes.${home}.${key}`);
}

/** A configuration with `passthrough` whose router namespace has a name in this lab, and that name. */
export function nameRouter(config: string, lab: string, node: string): { config: string; netns: string } {
  const document: Document = parseDocument(config, { merge: true });
  const written = document.getIn(['passthrough', 'netns']);
  if (typeof written === 'string') return { config, netns: written };
  const netns = routerNetnsOf(lab, node);
  const has = isMap(document.get('passthrough', true));
  if (has) document.setIn(['passthrough', 'netns'], netns);
  else document.set('passthrough', document.createNode({ netns }));
  return { config: document.toString(), netns };
}

/** What the lab knows of a node's router. */
export function routerOf(netns: string, intent: PassthroughIntent): LabRouter {
  return { netns, hostSessions: intent.speakers.reduce((sum, { peers }) => sum + peers.length, 0) };
}

// Reads a lab file into a Topology: YAML with places, zod's judgement, the generator, `defaults` and what the file
// says of single nodes laid over it. Every complaint names file, line and column; the first one is thrown.

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { readDocument } from '../intent/document.ts';
import { parseDuration } from '../intent/duration.ts';
import { readSecretFile } from '../intent/files.ts';
import { problemsOf } from '../intent/issues.ts';
import { loadConfig } from '../intent/load.ts';
import { suggestion } from '../intent/suggest.ts';
import {
  type ConfigProblem,
  locate,
  type MapNode,
  type Path,
  type Problem,
  plainOf,
} from '../intent/tree.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { type Clos, generateClos } from './clos.ts';
import { type FabricNode, frrFabricConfig, leafdFabricConfig } from './fabric-config.ts';
import { checkBeside, nameRouter, routerOf } from './read-beside.ts';
import { bridgesConfig, bridgesOf, readGuests } from './read-guests.ts';
import { type ClosFile, type LabFile, labFile, type NodeFile } from './schema.ts';
import {
  formatEnd,
  type LabEnd,
  type LabLink,
  type LabMoves,
  type LabNode,
  type NodeKind,
  parseEnd,
  runsLeafd,
  type Topology,
} from './topology.ts';

type Tree = Record<string, unknown>;

/** Reads and judges a lab file. Throws LeafdError `lab-unreadable` or `lab-invalid`. */
export function readLabFile(file: string): Topology {
  const path = resolve(file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new LeafdError('lab-unreadable', absent ? `there is no file ${file}` : `cannot read ${file}`, {
      cause,
    });
  }
  return parseLab(text, file, path);
}

/** As `readLabFile`, of text; `shown` is the file's name in complaints, `path` where its `configFile`s are near. */
export function parseLab(text: string, shown: string, path: string): Topology {
  const { root, problems } = readDocument({ file: shown, text });
  if (root === undefined) throw complaint(problems[0]);
  const judged = labFile.safeParse(plainOf(root));
  if (!judged.success) throw complaint(locate(root, problemOf(judged.error.issues[0], root)));
  const reader = new LabReader(judged.data, root, path);
  return reader.topology();
}

function complaint(problem: ConfigProblem): LeafdError {
  const message = problem.path === '' ? problem.reason : `${problem.path}: ${problem.reason}`;
  const hint = problem.hint === undefined ? {} : { hint: problem.hint };
  return new LeafdError('lab-invalid', message, { where: problem.where, ...hint });
}

/** An issue of zod in our form; unknown keys are compared with the lab file's own, not leafd.yaml's. */
function problemOf(issue: z.core.$ZodIssue, root: MapNode): Problem {
  if (issue.code !== 'unrecognized_keys') return problemsOf([issue], plainOf(root))[0];
  const path = issue.path as Path;
  const key = issue.keys[0];
  const hint = suggestion(key, knownKeysAt(path));
  return {
    path: [...path, key],
    reason: 'is not a known key',
    at: 'key',
    ...(hint === undefined ? {} : { hint }),
  };
}

const keysOfSections: Record<string, readonly string[]> = {
  '': ['name', 'clos', 'defaults', 'nodes', 'guests', 'links', 'moves'],
  clos: 'spines leaves hostsPerLeaf scheme spineAsn spineKind leafKind hold keepalive gracefulRestart'.split(
    ' ',
  ),
  nodes:
    'kind role config configFile addresses ports forwarding sessions commands afterStart bridges in arguments'.split(
      ' ',
    ),
  guests: 'on bridge addresses mac mode'.split(' '),
  defaults: ['leafd'],
};

function knownKeysAt(path: Path): readonly string[] {
  return keysOfSections[path.length === 0 ? '' : String(path[0])] ?? [];
}

class LabReader {
  readonly #file: LabFile;
  readonly #root: MapNode;
  readonly #path: string;

  constructor(file: LabFile, root: MapNode, path: string) {
    this.#file = file;
    this.#root = root;
    this.#path = path;
  }

  topology(): Topology {
    const clos = this.#file.clos === undefined ? undefined : generateClos(closOptions(this.#file.clos));
    const routers = this.#nodes(clos);
    const nodes = [
      ...routers,
      ...readGuests(this.#file, routers, (path, reason, hint) => this.#wrong(path, reason, hint)),
    ];
    checkBeside(this.#file, routers, (path, reason, hint) => this.#wrong(path, reason, hint));
    const links = [...(clos?.links ?? []), ...this.#cables(this.#file.links ?? [], ['links'], routers)];
    this.#checkPorts(links, clos?.links.length ?? 0);
    const moves: Record<string, LabMoves> = {};
    for (const [name, list] of Object.entries(this.#file.moves ?? {})) {
      moves[name] = this.#cables(list, ['moves', name], routers).map(({ a, b }) => ({ from: a, to: b }));
    }
    return { name: this.#file.name, file: this.#path, nodes, links, moves };
  }

  #nodes(clos: Clos | undefined): LabNode[] {
    const written = this.#file.nodes ?? {};
    const nodes: LabNode[] = [];
    for (const router of clos?.routers ?? []) nodes.push(this.#generatedRouter(router, written[router.name]));
    for (const host of clos?.hosts ?? []) {
      const own = written[host.name] ?? {};
      nodes.push(
        this.#node(host.name, {
          ...own,
          kind: own.kind ?? 'host',
          addresses: own.addresses ?? [...host.addresses],
        }),
      );
    }
    const generated = new Set(nodes.map((node) => node.name));
    for (const [name, node] of Object.entries(written))
      if (!generated.has(name)) nodes.push(this.#node(name, node));
    if (nodes.length === 0) throw this.#wrong([], 'has no nodes', 'give `clos:` or `nodes:`');
    return nodes;
  }

  /** A generated router with what the file says of it laid over: maps of a leafd configuration merge. */
  #generatedRouter(router: FabricNode, written: NodeFile | undefined): LabNode {
    const kind = written?.kind ?? router.kind;
    const own: NodeFile = { role: router.role, ...written, kind };
    if (kind === 'frr') {
      const addresses = own.addresses ?? [`${router.loopback4}/32`, `${router.loopback6}/128`];
      const hasConfig = own.config !== undefined || own.configFile !== undefined;
      const config = hasConfig ? {} : { config: frrFabricConfig(router) };
      return { ...this.#node(router.name, { ...own, addresses, ...config }), asn: router.asn };
    }
    if (!runsLeafd(kind) || typeof own.config === 'string' || own.configFile !== undefined) {
      return this.#node(router.name, own);
    }
    const generated = {
      ...leafdFabricConfig(router),
      ...(kind === 'hypervisor' ? bridgesConfig(bridgesOf(own)) : {}),
    };
    const base = mergeTree(generated, this.#file.defaults?.leafd ?? {});
    return this.#leafdNode(router.name, own, mergeTree(base, own.config ?? {}));
  }

  #node(name: string, written: NodeFile): LabNode {
    const kind = written.kind ?? 'leafd';
    if (runsLeafd(kind) && typeof written.config !== 'string' && written.configFile === undefined) {
      const own = { node: { name }, ...(kind === 'hypervisor' ? bridgesConfig(bridgesOf(written)) : {}) };
      const base = mergeTree(own, this.#file.defaults?.leafd ?? {});
      return this.#leafdNode(name, written, mergeTree(base, written.config ?? {}));
    }
    const config = this.#configText(name, kind, written);
    if (runsLeafd(kind)) return this.#judgedLeafd(name, written, config);
    const asn =
      /^\s*(?:router bgp|local as|AS) (\d+)/m.exec(config) ?? /\b(?:asn?|local-as)[: ]+(\d+)/.exec(config);
    return {
      ...this.#plainNode(name, kind, written),
      config,
      ...(asn === null ? {} : { asn: Number(asn[1]) }),
    };
  }

  #leafdNode(name: string, written: NodeFile, tree: Tree): LabNode {
    return this.#judgedLeafd(name, written, stringify(tree), (path) => this.#wherePath(name, path));
  }

  /** A node whose configuration leafd itself has found right; `placeOf` finds a complaint's key in this file. */
  #judgedLeafd(name: string, written: NodeFile, config: string, placeOf?: (path: string) => Path): LabNode {
    const shown = written.configFile ?? `the configuration of ${name}`;
    const { intent, problems } = loadConfig([{ file: shown, text: config }], {
      hostname: name,
      readSecret: (path) => readSecretFile(path, this.#path),
    });
    if (intent === undefined) {
      const { path, reason, hint } = problems[0];
      const place = placeOf?.(path);
      if (place === undefined) throw complaint(problems[0]);
      throw this.#wrong(place, place.at(-1) === path.split('.').at(-1) ? reason : `${path} ${reason}`, hint);
    }
    const { asn, profile } = intent.bgp;
    const kind = written.kind ?? 'leafd';
    // A hypervisor forwards for its guests, also where it is no transit for others.
    const forwarding = written.forwarding ?? (kind === 'hypervisor' || profile !== 'host');
    const plain = { ...this.#plainNode(name, kind, written), forwarding, asn };
    if (intent.passthrough === undefined) return { ...plain, config };
    const named = nameRouter(config, this.#file.name, name);
    return { ...plain, config: named.config, router: routerOf(named.netns, intent.passthrough) };
  }

  /** Where a key of a merged configuration was written: at the node, in the defaults, or by the generator. */
  #wherePath(name: string, dotted: string): Path {
    const keys = dotted.split('.');
    const places: Path[] = [
      ['nodes', name, 'config', ...keys],
      ['defaults', 'leafd', ...keys],
    ];
    const written = places.find((path) => path.reduce<unknown>(stepInto, this.#file) !== undefined);
    return written ?? ['nodes', name];
  }

  #plainNode(name: string, kind: NodeKind, written: NodeFile): LabNode {
    if (kind === 'host' && (written.config !== undefined || written.configFile !== undefined)) {
      throw this.#wrong(['nodes', name], 'is a host, which runs no daemon and has no configuration');
    }
    if (written.bridges !== undefined && kind !== 'hypervisor')
      throw this.#wrong(['nodes', name, 'bridges'], 'is for nodes of kind hypervisor');
    if (written.arguments !== undefined && (kind === 'host' || runsLeafd(kind)))
      throw this.#wrong(['nodes', name, 'arguments'], 'are for foreign daemons');
    if (!runsLeafd(kind) && written.config !== undefined && typeof written.config !== 'string') {
      throw this.#wrong(
        ['nodes', name, 'config'],
        `of kind ${kind} is the text of its file`,
        'write `config: |`',
      );
    }
    return {
      name,
      kind,
      ...(written.role === undefined ? {} : { role: written.role }),
      config: '',
      addresses: written.addresses ?? [],
      ports: written.ports ?? {},
      forwarding: written.forwarding ?? kind !== 'host',
      ...(written.sessions === undefined ? {} : { sessions: written.sessions }),
      ...(written.arguments === undefined ? {} : { arguments: written.arguments }),
      commands: written.commands ?? [],
      afterStart: written.afterStart ?? [],
      ...(kind === 'hypervisor' ? { bridges: bridgesOf(written) } : {}),
      ...(written.in === undefined ? {} : { in: written.in }),
    };
  }

  #configText(name: string, kind: NodeKind, written: NodeFile): string {
    if (typeof written.config === 'string') return written.config;
    if (kind === 'host' || written.config !== undefined) return '';
    if (written.configFile === undefined) {
      throw this.#wrong(['nodes', name], `of kind ${kind} needs config or configFile`);
    }
    const path = resolve(dirname(this.#path), written.configFile);
    try {
      return readFileSync(path, 'utf8');
    } catch {
      throw this.#wrong(['nodes', name, 'configFile'], `cannot be read: ${path}`);
    }
  }

  #cables(list: readonly (readonly string[])[], path: Path, nodes: readonly LabNode[]): LabLink[] {
    const names = nodes.map((node) => node.name);
    return list.map((pair, index) => {
      const [a, b] = pair.map((text, side): LabEnd => {
        const end = parseEnd(text)!;
        const node = nodes.find(({ name }) => name === end.node);
        if (node?.in !== undefined)
          throw this.#wrong(
            [...path, index, side],
            `${end.node} runs beside ${node.in} and has no ports`,
            `${node.in}:${end.port}`,
          );
        if (node !== undefined) return end;
        const hint = suggestion(end.node, names);
        throw this.#wrong([...path, index, side], `there is no node ${end.node}`, hint);
      });
      if (a.node === b.node) throw this.#wrong([...path, index], 'joins a node to itself');
      return { a, b };
    });
  }

  #checkPorts(links: readonly LabLink[], generated: number): void {
    const taken = new Set<string>();
    for (const [index, link] of links.entries()) {
      for (const end of [link.a, link.b].map(formatEnd)) {
        if (taken.has(end)) throw this.#wrong(['links', index - generated], `${end} has a cable already`);
        taken.add(end);
      }
    }
  }

  #wrong(path: Path, reason: string, hint?: string): LeafdError {
    return complaint(locate(this.#root, { path, reason, ...(hint === undefined ? {} : { hint }) }));
  }
}

function closOptions(clos: ClosFile) {
  const holdS = seconds(clos.hold, 9);
  return {
    spines: clos.spines,
    leaves: clos.leaves,
    hostsPerLeaf: clos.hostsPerLeaf ?? 1,
    scheme: clos.scheme ?? 'ebgp',
    spineAsn: clos.spineAsn ?? 'shared',
    spineKind: clos.spineKind ?? 'leafd',
    leafKind: clos.leafKind ?? 'leafd',
    holdS,
    keepaliveS: seconds(clos.keepalive, Math.max(1, Math.floor(holdS / 3))),
    gracefulRestart: clos.gracefulRestart ?? true,
  } as const;
}

function seconds(duration: string | undefined, otherwise: number): number {
  return duration === undefined ? otherwise : Math.round(parseDuration(duration)! / 1000);
}

/** Maps merge key by key; anything else is replaced. */
export function mergeTree(base: Tree, over: Tree): Tree {
  const merged: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const present = merged[key];
    merged[key] = isTree(present) && isTree(value) ? mergeTree(present, value) : value;
  }
  return merged;
}

function stepInto(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string | number, unknown>)[key]
    : undefined;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// What can go wrong, and the drawing of it from a seed. A fault happens at its time, and most of them end by
// themselves after a while; `mend` ends the others, but for some that stay, so that a world at rest is not always a
// whole one. A fault whose victim is not there at that moment (a daemon that is down cannot crash) is left out
// and another is drawn.

import type { Rng } from '../lib/rng.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { compilePolicies } from '../policy/compile.ts';
import type { RuleDefinition } from '../policy/definition.ts';
import type { PeerConfig } from '../router/config.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { routeKey } from './kernel.ts';
import { type Cable, type Connection, wordsOf } from './network.ts';
import type { SimNode } from './node.ts';
import { changeOpaque, deafen, refreshStorm, retune } from './session-faults.ts';
import { cableText, portText, type World } from './world.ts';

export interface FaultRecord {
  atMs: number;
  text: string;
}

/** Does something, and says what; undefined when there is nobody to do it to. */
type Fault = (faults: Faults) => string | undefined;

/** Faults by name; the number is how often each is drawn. */
const table: readonly [name: string, weight: number, Fault][] = [
  ['cut', 4, cut],
  ['flap', 4, flap],
  ['silentCut', 3, silentCut],
  ['oneWayCut', 2, oneWayCut],
  ['reset', 3, reset],
  ['stall', 3, stall],
  ['slowReader', 2, slowReader],
  ['crash', 4, crash],
  ['restart', 2, restart],
  ['powerLoss', 2, powerLoss],
  ['stop', 1, stop],
  ['partition', 2, partition],
  ['moveCable', 2, moveCable],
  ['moveGuest', 3, moveGuest],
  ['withdrawGuest', 2, withdrawGuest],
  ['refuse', 3, refuse],
  ['slowKernel', 2, slowKernel],
  ['reload', 4, reload],
  ['adminReset', 1, adminReset],
  ['adminDown', 1, adminDown],
  ['refresh', 1, refresh],
  ['renumber', 1, renumber],
  ['deafen', 2, deafen],
  ['refreshStorm', 2, refreshStorm],
  ['retune', 4, retune],
  ['changeOpaque', 3, changeOpaque],
];

/** Names of all faults, for those who choose. */
export const faultNames: readonly string[] = table.map(([name]) => name);

/** After this long every fault that ends by itself has ended. */
export const FAULT_MS = 8000;
const STAYS = 0.25;

export class Faults {
  readonly world: World;
  readonly rng: Rng;
  readonly records: FaultRecord[] = [];
  /** What runs on purpose until `mend`. */
  readonly downed = new Set<SimNode>();
  readonly #drawn: Fault[] = [];
  readonly #basePeers = new Map<SimNode, PeerConfig[]>();
  #generation = 0;

  /** `only` limits the faults to these names. */
  constructor(world: World, rng: Rng, only: readonly string[]) {
    this.world = world;
    this.rng = rng;
    for (const node of world.nodes) this.#basePeers.set(node, node.config.peers);
    for (const [name, weight, fault] of table)
      if (only.includes(name)) for (let i = 0; i < weight; i++) this.#drawn.push(fault);
  }

  /** One more fault, now. */
  strike(): void {
    for (let tries = 0; tries < 20; tries++) {
      const text = this.rng.pick(this.#drawn)(this);
      if (text === undefined) continue;
      this.note(text);
      return;
    }
  }

  note(text: string): void {
    this.records.push({ atMs: this.world.nowMs, text });
  }

  /** Something later, written down when it happens. */
  later(delayMs: number, text: string, task: () => void): void {
    this.world.schedule.after(delayMs, () => {
      this.note(text);
      task();
    });
  }

  /** A time at most `FAULT_MS`. */
  while(): number {
    return this.rng.chance(0.5) ? this.rng.between(50, 1500) : this.rng.between(1500, FAULT_MS - 500);
  }

  running(): SimNode[] {
    return this.world.nodes.filter(({ isRunning }) => isRunning);
  }

  cables(): Cable[] {
    return this.world.network.cables.filter((cable) => cable.up && !cable.dropsFromA && !cable.dropsFromB);
  }

  basePeers(node: SimNode): PeerConfig[] {
    return this.#basePeers.get(node)!;
  }

  /** Another configuration, on which policies are put. */
  setBasePeers(node: SimNode, peers: PeerConfig[]): void {
    this.#basePeers.set(node, peers);
  }

  nextGeneration(): number {
    return (this.#generation = (this.#generation + 1) & 0xff);
  }

  /** Ends what does not end by itself, but for a part that stays. */
  mend(): void {
    const { world, rng } = this;
    for (const node of world.nodes) if (!node.isRunning) node.start(node.isPowered);
    for (const cable of world.network.cables) {
      if ((!cable.up || cable.dropsFromA || cable.dropsFromB) && rng.chance(STAYS)) {
        this.note(`stays: ${cableText(cable)} ${cable.up ? 'swallows packets' : 'cut'}`);
        continue;
      }
      cable.dropsFromA = false;
      cable.dropsFromB = false;
      world.setUp(cable, true);
    }
    for (const node of world.nodes) {
      node.kernel.delayMs = 1;
      for (const key of [...node.kernel.refusedKeys]) {
        if (rng.chance(0.5))
          this.note(`stays: ${node.name} refuses a route of /${key.slice(key.lastIndexOf('/') + 1)}`);
        else node.kernel.refuse(key, false);
      }
      for (const peer of node.router!.directory.byName.values())
        if (peer.adminDown && !rng.chance(STAYS)) node.router!.act(peer, 'enable');
    }
  }
}

// ---- cables ----

function cut(faults: Faults): string | undefined {
  const cables = faults.cables();
  if (cables.length === 0) return undefined;
  const cable = faults.rng.pick(cables);
  faults.world.setUp(cable, false);
  if (faults.rng.chance(0.7)) mendLater(faults, cable);
  return `cut ${cableText(cable)}`;
}

function flap(faults: Faults): string | undefined {
  const cables = faults.cables();
  if (cables.length === 0) return undefined;
  const cable = faults.rng.pick(cables);
  faults.world.setUp(cable, false);
  const ms = faults.rng.between(1, 400);
  faults.world.schedule.after(ms, () => faults.world.setUp(cable, true));
  return `flap ${cableText(cable)} for ${ms} ms`;
}

function silentCut(faults: Faults): string | undefined {
  const cables = faults.cables();
  if (cables.length === 0) return undefined;
  const cable = faults.rng.pick(cables);
  cable.dropsFromA = true;
  cable.dropsFromB = true;
  if (faults.rng.chance(0.8)) mendLater(faults, cable);
  return `silent cut ${cableText(cable)}`;
}

function oneWayCut(faults: Faults): string | undefined {
  const cables = faults.cables();
  if (cables.length === 0) return undefined;
  const cable = faults.rng.pick(cables);
  const fromA = faults.rng.chance(0.5);
  if (fromA) cable.dropsFromA = true;
  else cable.dropsFromB = true;
  if (faults.rng.chance(0.8)) mendLater(faults, cable);
  return `one-way cut ${cableText(cable)}, from ${portText(fromA ? cable.a : cable.b)}`;
}

function mendLater(faults: Faults, cable: Cable): void {
  faults.later(faults.while(), `mend ${cableText(cable)}`, () => {
    cable.dropsFromA = false;
    cable.dropsFromB = false;
    faults.world.setUp(cable, true);
  });
}

/** Silently parts the nodes into two. */
function partition(faults: Faults): string | undefined {
  const { world, rng } = faults;
  const side = new Set(world.nodes.filter(() => rng.chance(0.5)));
  const between = faults.cables().filter((cable) => side.has(cable.a.node) !== side.has(cable.b.node));
  if (between.length === 0) return undefined;
  for (const cable of between) cable.dropsFromA = cable.dropsFromB = true;
  const names = [...side].map(({ name }) => name).join(' ');
  faults.later(faults.while(), `join ${names}`, () => {
    for (const cable of between) cable.dropsFromA = cable.dropsFromB = false;
  });
  return `partition ${names} from the others`;
}

function moveCable(faults: Faults): string | undefined {
  const cables = faults.cables();
  if (cables.length < 2) return undefined;
  const one = faults.rng.pick(cables);
  // Numbered peers are bound to their cable.
  const others = cables.filter((other) => other !== one && other.b.addresses.length === 0);
  if (others.length === 0 || one.b.addresses.length > 0) return undefined;
  const other = faults.rng.pick(others);
  const text = `exchange far ends of ${cableText(one)} and ${cableText(other)}`;
  faults.world.swap(one, other);
  return text;
}

function renumber(faults: Faults): string | undefined {
  const { world, rng } = faults;
  const ports = world.nodes.flatMap((node) => (node.isRunning ? node.ports : []));
  const unnumbered = ports.filter((port) => port.cable?.up === true && port.addresses.length === 0);
  if (unnumbered.length === 0) return undefined;
  const port = rng.pick(unnumbered);
  port.node.renumber(port, faults.nextGeneration());
  return `${portText(port)} has another link-local address`;
}

// ---- connections ----

function reset(faults: Faults): string | undefined {
  const connection = someConnection(faults);
  if (connection === undefined) return undefined;
  faults.world.network.reset(connection);
  return `reset ${connectionText(connection)}`;
}

function stall(faults: Faults): string | undefined {
  const connection = someConnection(faults);
  if (connection === undefined) return undefined;
  const ms = faults.rng.between(200, 12_000);
  faults.world.network.stall(connection, ms);
  return `stall ${connectionText(connection)} for ${ms} ms`;
}

/** Little fits into the sockets of all for a while, and one of them takes nothing. */
function slowReader(faults: Faults): string | undefined {
  const connection = someConnection(faults);
  if (connection === undefined) return undefined;
  const { network, schedule } = faults.world;
  network.highWater = 60;
  const ms = faults.while();
  network.stall(connection, ms);
  schedule.after(ms, () => {
    network.highWater = 1 << 20;
  });
  return `slow reader on ${connectionText(connection)} for ${ms} ms`;
}

function someConnection(faults: Faults): Connection | undefined {
  const open = [...faults.world.network.connections].filter(({ ends }) => ends[0].open && ends[1].open);
  return open.length === 0 ? undefined : faults.rng.pick(open);
}

function connectionText({ ends }: Connection): string {
  return `${ends[0].node.name}-${ends[1].node.name}`;
}

// ---- daemons ----

function crash(faults: Faults): string | undefined {
  return endAndStart(faults, 'crash', (node) => node.crash(false), true);
}

function restart(faults: Faults): string | undefined {
  return endAndStart(faults, 'restart', (node) => node.stop(false), true);
}

function stop(faults: Faults): string | undefined {
  return endAndStart(faults, 'stop', (node) => node.stop(true), false);
}

function powerLoss(faults: Faults): string | undefined {
  return endAndStart(faults, 'power loss of', (node) => node.crash(true), false);
}

function endAndStart(
  faults: Faults,
  what: string,
  end: (node: SimNode) => void,
  restarting: boolean,
): string | undefined {
  const running = faults.running();
  if (running.length < 2) return undefined;
  const node = faults.rng.pick(running);
  end(node);
  faults.later(faults.while(), `start ${node.name}`, () => {
    if (!node.isRunning) node.start(restarting);
  });
  return `${what} ${node.name}`;
}

function adminReset(faults: Faults): string | undefined {
  return act(faults, 'reset');
}

function adminDown(faults: Faults): string | undefined {
  return act(faults, 'shutdown');
}

function refresh(faults: Faults): string | undefined {
  return act(faults, 'refresh');
}

function act(faults: Faults, action: 'reset' | 'shutdown' | 'refresh'): string | undefined {
  const running = faults.running();
  if (running.length === 0) return undefined;
  const node = faults.rng.pick(running);
  const peers = [...node.router!.directory.byName.values()];
  if (peers.length === 0) return undefined;
  const peer = faults.rng.pick(peers);
  node.router!.act(peer, action);
  return `${action} ${node.name} ${peer.name}`;
}

// ---- routes ----

function owners(faults: Faults): [SimNode, Prefix][] {
  return faults.world.nodes.flatMap((node) =>
    [...node.statics.values()].map((prefix): [SimNode, Prefix] => [node, prefix]),
  );
}

/** A guest goes to another router, which may announce it before the old one has let go. */
function moveGuest(faults: Faults): string | undefined {
  const { rng, world } = faults;
  const all = owners(faults);
  if (all.length === 0) return undefined;
  const [from, prefix] = rng.pick(all);
  const to = rng.pick(world.nodes);
  if (to === from || to.owns(prefix)) return undefined;
  const first = rng.chance(0.5);
  if (first) to.addStatic(prefix);
  else from.removeStatic(prefix);
  world.schedule.after(rng.between(0, 1000), () => {
    if (first) from.removeStatic(prefix);
    else to.addStatic(prefix);
  });
  return `${prefixText(prefix)} moves from ${from.name} to ${to.name}`;
}

function withdrawGuest(faults: Faults): string | undefined {
  const all = owners(faults);
  if (all.length === 0) return undefined;
  const [node, prefix] = faults.rng.pick(all);
  node.removeStatic(prefix);
  const text = prefixText(prefix);
  if (faults.rng.chance(0.5))
    faults.later(faults.while(), `${text} is back at ${node.name}`, () => node.addStatic(prefix));
  return `${text} goes from ${node.name}`;
}

function somePrefix(faults: Faults): Prefix | undefined {
  const { world, rng } = faults;
  const all = world.nodes.flatMap((node) => [...node.statics.values(), ...node.config.networks]);
  return all.length === 0 ? undefined : rng.pick(all);
}

function refuse(faults: Faults): string | undefined {
  const { rng, world } = faults;
  const prefix = somePrefix(faults);
  if (prefix === undefined) return undefined;
  const words = wordsOf(prefix.bytes);
  const key = routeKey(words.length === 1 ? IPV4 : IPV6, words, 0, prefix.length);
  const node = rng.pick(world.nodes);
  if (node.kernel.refuses(key)) return undefined;
  node.kernel.refuse(key, true);
  if (rng.chance(0.6))
    faults.later(faults.while(), `${node.name} takes ${key}`, () => node.kernel.refuse(key, false));
  return `the kernel of ${node.name} refuses ${prefixText(prefix)}`;
}

function slowKernel(faults: Faults): string | undefined {
  const node = faults.rng.pick(faults.world.nodes);
  node.kernel.delayMs = faults.rng.between(20, 1500);
  faults.world.schedule.after(faults.while(), () => {
    node.kernel.delayMs = 1;
  });
  return `the kernel of ${node.name} takes ${node.kernel.delayMs} ms a batch`;
}

// ---- configuration ----

/** Another configuration: policies that refuse a prefix, lengthen paths or set a MED, another number of paths. */
function reload(faults: Faults): string | undefined {
  const { rng } = faults;
  const running = faults.running();
  const prefix = somePrefix(faults);
  if (running.length === 0 || prefix === undefined) return undefined;
  const node = rng.pick(running);
  const text = prefixText(prefix);
  const exports: RuleDefinition[] = [];
  const imports: RuleDefinition[] = [];
  const said: string[] = [];
  const rejectsExport = new Set<string>();
  const rejectsImport = new Set<string>();
  let prepends = 0;
  const reject: RuleDefinition = { match: { prefixes: [text] }, action: 'reject' };
  const refusal = rng.below(10);
  if (refusal < 3) {
    exports.push(reject);
    rejectsExport.add(text);
    said.push(`does not export ${text}`);
  } else if (refusal < 5) {
    imports.push(reject);
    rejectsImport.add(text);
    said.push(`does not import ${text}`);
  }
  // Within an AS the own ASN in the path would be a loop.
  const external = faults.basePeers(node).every(({ remoteAs }) => remoteAs.kind === 'external');
  if (rng.chance(0.25) && external) {
    prepends = rng.between(1, 2);
    exports.push({ set: { prepend: { count: prepends } }, action: 'next' });
    said.push(`prepends ${prepends}`);
  }
  if (rng.chance(0.3)) {
    const med = rng.between(1, 3) * 10;
    exports.push({ set: { med }, action: 'next' });
    said.push(`sets MED ${med}`);
  }
  node.policy = { rejectsExport, rejectsImport, prepends };
  const peers = withPolicies(faults.basePeers(node), `out${rng.below(3)}`, exports, imports);
  node.configure({ ...node.config, peers });
  return `reload ${node.name}: ${said.length === 0 ? 'no policies' : said.join(', ')}`;
}

/** `name`: of the export policy; peers with one of another name go to another update group. */
function withPolicies(
  peers: readonly PeerConfig[],
  name: string,
  exports: readonly RuleDefinition[],
  imports: readonly RuleDefinition[],
): PeerConfig[] {
  if (exports.length === 0 && imports.length === 0) return [...peers];
  const compiled = compilePolicies({
    policies: {
      [name]: { default: 'accept', rules: exports },
      in: { default: 'accept', rules: imports },
    },
  });
  const out = compiled.get(name)!;
  const into = compiled.get('in')!;
  return peers.map((peer) => ({ ...peer, export: out, import: into }));
}

// The configuration in force: where it came from, what another one would change, and putting another one in force
// whole or not at all. Applying is one reload at a time; a file that is refused leaves everything as it is.
// Resources of OpenPERouter are a part that changes by itself; a bad one never refuses the whole.

import { isDeepStrictEqual } from 'node:util';
import type { ConfigAnswer, ConfigFile } from '../api/backend.ts';
import type { ApplyView, ChangeView, EffectView, ErrorBody, PlanView, ProblemView } from '../api/views.ts';
import type { Change } from '../intent/change.ts';
import { diffIntents } from '../intent/diff.ts';
import { localOptions } from '../intent/files.ts';
import { readConfigFiles } from '../intent/files-read.ts';
import type { Intent } from '../intent/intent.ts';
import { configError, type LoadResult, loadConfig, type OpenperouterSettings } from '../intent/load.ts';
import type { OpenperouterInput, OpenperouterResult } from '../intent/openperouter.ts';
import { jsonSchema } from '../intent/schema.ts';
import type { ConfigProblem } from '../intent/tree.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { judgeAsPathPattern } from '../policy/as-path-pattern.ts';
import { compilePolicies } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import type { RouterConfig } from '../router/config.ts';
import { routerConfigOf } from '../router/from-intent.ts';
import { resetReasons } from '../router/reset-reasons.ts';

/** Where resources of OpenPERouter come from. */
export interface ResourceSource {
  /** What there is now; undefined where there is nothing to read. */
  input(settings: OpenperouterSettings): OpenperouterInput | undefined;
}

export interface Loaded {
  files: string[];
  at: string;
  lastError?: ErrorBody;
}

/** Puts a configuration in force; the parts that can change while the daemon runs. */
export type PutInForce = (next: {
  intent: Intent;
  router: RouterConfig;
  before: Intent;
  routerBefore: RouterConfig;
  openperouter: OpenperouterResult | undefined;
}) => Promise<void> | void;

const weight: Readonly<Record<EffectView, number>> = {
  live: 0,
  'soft refresh': 1,
  'session reset': 2,
  restart: 3,
};

export class Configuration {
  intent: Intent;
  router: RouterConfig;
  readonly loaded: Loaded;
  /** What the speaker started with: some settings stay so until the next one starts. */
  #started: { intent: Intent; router: RouterConfig };
  /** How each resource of OpenPERouter fared. */
  openperouter: OpenperouterResult | undefined;
  readonly #path: string;
  readonly #source: ResourceSource;
  #files: readonly ConfigFile[];
  #policies: ReadonlyMap<string, CompiledPolicy>;
  #putInForce: PutInForce = () => {};
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(path: string, source: ResourceSource, files: readonly ConfigFile[], result: Good) {
    const { intent } = result;
    this.#path = path;
    this.#source = source;
    this.#files = files;
    this.openperouter = result.openperouter;
    this.intent = intent;
    this.#policies = compilePolicies(intent.policies);
    this.router = routerConfigOf(intent, this.#policies);
    this.#started = { intent, router: this.router };
    this.loaded = { files: files.map(({ file }) => file), at: new Date().toISOString() };
  }

  /** Reads the configuration the daemon starts with. Throws LeafdError with the first problem. */
  static read(path: string, source: ResourceSource = NO_RESOURCES): Configuration {
    const files = readConfigFiles(path);
    const { intent, problems, openperouter } = load(files, source, undefined);
    if (intent === undefined) throw configError(problems);
    return new Configuration(path, source, files, { intent, openperouter });
  }

  /** What is configured and waits for the next start. */
  needRestart(): ChangeView[] {
    const changes = diffIntents(this.#started.intent, this.intent);
    return changes.filter((change) => change.effect === 'restart').map(changeView);
  }

  /** Who speaks BGP in this life; another wish waits for the next start. */
  get speaker(): Intent['bgp']['speaker'] {
    return this.#started.intent.bgp.speaker;
  }

  onChange(putInForce: PutInForce): void {
    this.#putInForce = putInForce;
  }

  /** What the files would change. */
  async plan(files: ConfigFile[]): Promise<ConfigAnswer<PlanView>> {
    const result = load(files, this.#source, this.openperouter);
    if (result.intent === undefined) return { kind: 'invalid', problems: result.problems.map(problemView) };
    const { intent } = result;
    const router = routerConfigOf(intent, this.#policiesOf(intent));
    const changes = this.#changes(intent, router);
    return { kind: 'done', view: planView(changes, result.warnings) };
  }

  /** Puts the files in force; they stay where they are, the next start reads its own. */
  apply(files: ConfigFile[]): Promise<ConfigAnswer<ApplyView>> {
    const turn = this.#busy.then(() => this.#apply(files));
    this.#busy = turn.catch(() => {});
    return turn;
  }

  /** Reads the files of the start again (SIGHUP). Throws LeafdError; the configuration in force stays. */
  async reload(): Promise<void> {
    try {
      const sources = readConfigFiles(this.#path);
      const answer = await this.apply(sources);
      if (answer.kind === 'invalid') {
        const [first, ...more] = answer.problems;
        const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
        throw new LeafdError('config-invalid', `${first!.path}: ${first!.reason}${others}`, {
          where: first!.where,
          hint: `leafctl check ${this.#path} shows all problems`,
        });
      }
    } catch (error) {
      if (error instanceof LeafdError) this.loaded.lastError = errorBody(error);
      throw error;
    }
  }

  /** Takes resources of OpenPERouter as they are now. Throws LeafdError; the configuration in force stays. */
  async refresh(): Promise<void> {
    const answer = await this.apply([...this.#files]);
    if (answer.kind === 'done') return;
    const [first] = answer.problems;
    throw new LeafdError('config-invalid', `${first!.path}: ${first!.reason}`, { where: first!.where });
  }

  /** When no change is on its way any more. */
  async settled(): Promise<void> {
    await this.#busy;
  }

  /** JSON Schema of leafd.yaml. */
  schema(): unknown {
    return jsonSchema();
  }

  /** Policies that stay the same are the same objects, so that no route is judged again. */
  #policiesOf(intent: Intent): ReadonlyMap<string, CompiledPolicy> {
    const same = isDeepStrictEqual(intent.policies, this.intent.policies);
    return same ? this.#policies : compilePolicies(intent.policies);
  }

  /** As another speaker will have it. */
  #fresh(intent: Intent, policies: ReadonlyMap<string, CompiledPolicy>): Drafted {
    const router = routerConfigOf(intent, policies);
    return { router, changes: this.#changes(intent, router) };
  }

  /** As the speaker that runs can have it: who it is stays as it is until the next start. */
  #kept(intent: Intent, policies: ReadonlyMap<string, CompiledPolicy>): Drafted {
    const { asn, bgpId, clusterId } = this.#started.router;
    const router: RouterConfig = { ...routerConfigOf(intent, policies), asn, bgpId };
    const changes = this.#changes(intent, router);
    if (clusterId !== undefined) router.clusterId = clusterId;
    // Who speaks here stays as well, and with it whether there are peers.
    const { speaker } = this.#started.intent.bgp;
    if (intent.bgp.speaker !== speaker) router.peers = speaker === 'none' ? [] : this.router.peers;
    return { router, changes };
  }

  #changes(intent: Intent, router: RouterConfig): Change[] {
    return withReasons(diffIntents(this.intent, intent), this.intent, this.router, intent, router);
  }

  async #apply(files: ConfigFile[]): Promise<ConfigAnswer<ApplyView>> {
    const result = load(files, this.#source, this.openperouter);
    if (result.intent === undefined) return { kind: 'invalid', problems: result.problems.map(problemView) };
    const { intent } = result;
    const policies = this.#policiesOf(intent);
    const anew = startsAnew(this.#started.intent, intent);
    const { router, changes } = anew ? this.#fresh(intent, policies) : this.#kept(intent, policies);
    const { openperouter } = result;
    await this.#putInForce({
      intent,
      router,
      before: this.intent,
      routerBefore: this.router,
      openperouter,
    });
    if (anew) this.#started = { intent, router };
    this.intent = intent;
    this.router = router;
    this.openperouter = openperouter;
    this.#files = files;
    this.#policies = policies;
    this.loaded.files = files.map((file) => file.file);
    this.loaded.at = new Date().toISOString();
    delete this.loaded.lastError;
    const view = planView(changes, result.warnings);
    return { kind: 'done', view: { ...view, applied: true, needRestart: this.needRestart() } };
  }
}

/**
 * What the intents say might cost a session, settled by what the router says: a peer that it would not reset is
 * changed live, and of one that it would reset the reasons are told, once.
 */
function withReasons(
  changes: readonly Change[],
  before: Intent,
  routerBefore: RouterConfig,
  after: Intent,
  routerAfter: RouterConfig,
): Change[] {
  const told = new Set<string>();
  return changes.map((change) => {
    if (change.owner !== 'peer' || change.kind !== 'change' || change.effect !== 'session reset')
      return change;
    const was = before.bgp.peers.findIndex((peer) => peer.key === change.what);
    const is = after.bgp.peers.findIndex((peer) => peer.key === change.what);
    if (was < 0 || is < 0 || after.bgp.peers[is]!.shutdown !== before.bgp.peers[was]!.shutdown) return change;
    const reasons = resetReasons(routerBefore.peers[was]!, routerAfter.peers[is]!);
    if (reasons.length === 0) return { ...change, effect: 'live' };
    if (told.has(change.what)) return change;
    told.add(change.what);
    return { ...change, text: `${change.text} (${reasons.join('; ')})` };
  });
}

/**
 * Whether a speaker of its own is needed for what is configured: it is another one, by its number or its namespace. A
 * speaker outside of a router namespace keeps its number until the next start of the daemon.
 */
export function startsAnew(before: Intent, after: Intent): boolean {
  const { passthrough: was } = before;
  const { passthrough: is } = after;
  if (was?.netns !== is?.netns) return true;
  if (is === undefined) return false;
  const [one, other] = [before.bgp, after.bgp];
  return (
    one.asn !== other.asn ||
    one.routerId !== other.routerId ||
    one.clusterId !== other.clusterId ||
    one.port !== other.port
  );
}

interface Drafted {
  router: RouterConfig;
  changes: Change[];
}

const NO_RESOURCES: ResourceSource = { input: () => undefined };

interface Good {
  intent: Intent;
  openperouter: OpenperouterResult | undefined;
}

/** What was good of the resources before stands in for what is bad of them now. */
function load(
  files: readonly ConfigFile[],
  source: ResourceSource,
  before: OpenperouterResult | undefined,
): LoadResult {
  return loadConfig(files, {
    ...localOptions({ judgeAsPath: judgeAsPathPattern }),
    openperouter: (settings) => {
      const input = source.input(settings);
      return input && { ...input, ...(before !== undefined && { good: before.good }) };
    },
  });
}

function planView(changes: readonly Change[], warnings: readonly ConfigProblem[]): PlanView {
  const views = changes.map(changeView);
  const effect = views.reduce<EffectView>(
    (heaviest, change) => (weight[change.effect] > weight[heaviest] ? change.effect : heaviest),
    'live',
  );
  return { changes: views, effect, warnings: warnings.map(problemView) };
}

function changeView({ kind, owner, what, effect, text }: Change): ChangeView {
  return { kind, owner, what, effect, text };
}

function problemView(problem: ConfigProblem): ProblemView {
  const { where, path, reason, hint } = problem;
  return { where: { ...where }, path, reason, ...(hint !== undefined && { hint }) };
}

/** An error as one line, with its place where it has one. */
export function errorLine(error: LeafdError): string {
  const { where, message } = error;
  return where === undefined ? message : `${where.file}:${where.line}:${where.column}: ${message}`;
}

function errorBody(error: LeafdError): ErrorBody {
  const { code, message, hint, where } = error;
  return { code, message, ...(hint !== undefined && { hint }), ...(where && { where: { ...where } }) };
}

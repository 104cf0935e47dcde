// `leafctl policy test FILE --route '…'`: what policies of a configuration do with routes that are described in
// words, rule by rule: what each condition asked for and what it saw. No daemon is asked, so a policy can be tried
// before it is put in force. Loaded when needed.

import { readFileSync } from 'node:fs';
import { loadConfigFile } from '../intent/files.ts';
import type { Intent, PeerIntent, RemoteAs } from '../intent/intent.ts';
import { defaultPolicies } from '../intent/profile.ts';
import { suggestion } from '../intent/suggest.ts';
import { formatIp } from '../net/ip.ts';
import { judgeAsPathPattern } from '../policy/as-path-pattern.ts';
import { compilePolicies, policyChain } from '../policy/compile.ts';
import { explain, type PolicyExplanation } from '../policy/explain.ts';
import {
  type CompiledPolicy,
  NEXT_HOP_ADDRESS,
  NEXT_HOP_SELF,
  NEXT_HOP_UNCHANGED,
  newPolicyOutput,
  type PolicyOutput,
} from '../policy/program.ts';
import { attributesNow } from '../policy/saw.ts';
import type { AttributesView } from '../wire/bgp/attribute/describe.ts';
import { families } from '../wire/bgp/family.ts';
import type { Context } from './context.ts';
import { ABSENT, CliError, INVALID, OK, usageError } from './exit.ts';
import { type DescribedRoute, parseRoute } from './route-text.ts';
import { table } from './table.ts';

export interface PolicyTestOptions {
  route?: string[];
  routes?: string;
  policy?: string;
  peer?: string;
  as?: string;
}

/** What became of one route. */
interface TestedRoute extends PolicyExplanation {
  prefix: string;
  before: AttributesView;
  /** After an accepting policy. */
  attributes?: AttributesView;
  weight?: number;
  tag?: number;
  nextHop?: string;
}

interface PolicyTestView {
  routes: TestedRoute[];
}

/** Exit 0 when every route is accepted, 1 when one is rejected, 2 for a route that is none, 4 for a bad file. */
export function policyTest(context: Context, file: string, options: PolicyTestOptions): number {
  const { intent, problems } = loadConfigFile(file, { judgeAsPath: judgeAsPathPattern });
  if (intent === undefined)
    throw new CliError(INVALID, { code: 'config-invalid', message: `${file} is refused`, problems });
  const texts = routeTexts(options);
  const choose = chooser(intent, options, file);
  const out = newPolicyOutput();
  const view: PolicyTestView = {
    routes: texts.map(({ text, place }) => {
      const route = described(text, place, intent, options);
      return tested(choose(route), route, out);
    }),
  };
  context.show(view, render);
  return view.routes.every((route) => route.verdict === 'accept') ? OK : ABSENT;
}

interface RouteText {
  text: string;
  /** `file:line` for a route of a file. */
  place?: string;
}

function routeTexts({ route, routes }: PolicyTestOptions): RouteText[] {
  const texts: RouteText[] = (route ?? []).map((text) => ({ text }));
  if (routes !== undefined) {
    let content: string;
    try {
      content = readFileSync(routes === '-' ? 0 : routes, 'utf8');
    } catch (error) {
      throw usageError(`${routes} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
    }
    for (const [index, line] of content.split(/\r?\n/).entries())
      if (/^\s*[^\s#]/.test(line)) texts.push({ text: line, place: `${routes}:${index + 1}` });
  }
  if (texts.length === 0)
    throw usageError(
      'there is no route to test',
      `--route '10.0.0.0/8 as-path "65001 65002"', or --routes FILE`,
    );
  return texts;
}

function described(
  text: string,
  place: string | undefined,
  intent: Intent,
  options: PolicyTestOptions,
): DescribedRoute {
  const asnOf = (name: string): number | undefined => {
    const peer = intent.bgp.peers.find((one) => one.name === name);
    return peer === undefined ? undefined : onlyAsn(peer.remoteAs, intent.bgp.asn);
  };
  // What a peer's import policy judges has come from that peer.
  const isImport = options.peer !== undefined && options.as !== 'export';
  const whole = isImport && !/\bfrom\s/.test(text) ? `${text} from ${options.peer}` : text;
  try {
    return parseRoute(whole, intent.bgp.asn, asnOf);
  } catch (error) {
    if (!(error instanceof CliError) || place === undefined) throw error;
    throw new CliError(error.exitCode, { ...error.body, message: `${place}: ${error.body.message}` });
  }
}

function onlyAsn(remoteAs: RemoteAs, localAsn: number): number | undefined {
  if (remoteAs.kind === 'internal') return localAsn;
  const range = remoteAs.kind === 'list' && remoteAs.ranges.length === 1 ? remoteAs.ranges[0]! : undefined;
  return range !== undefined && range[0] === range[1] ? range[0] : undefined;
}

/** Which policy judges a route: the one named, or that of a peer for the route's family. */
function chooser(
  intent: Intent,
  options: PolicyTestOptions,
  file: string,
): (route: DescribedRoute) => CompiledPolicy {
  const policies = compilePolicies(intent.policies);
  const named = (names: readonly string[]): CompiledPolicy => {
    for (const name of names)
      if (!policies.has(name)) throw absent('policy-unknown', file, 'policy', name, [...policies.keys()]);
    return policyChain(policies, names, 'policy');
  };
  if ((options.policy === undefined) === (options.peer === undefined))
    throw usageError(
      'the policy is named by exactly one of --policy and --peer',
      `there are: ${[...policies.keys()].join(', ')}`,
    );
  if (options.policy !== undefined) {
    if (options.as !== undefined) throw usageError('--as goes with --peer');
    const policy = named(options.policy.split(',').map((name) => name.trim()));
    return () => policy;
  }
  const peer = intent.bgp.peers.find((one) => one.name === options.peer);
  if (peer === undefined)
    throw absent(
      'peer-absent',
      file,
      'peer',
      options.peer!,
      intent.bgp.peers.map((one) => one.name),
    );
  const direction = options.as ?? 'import';
  if (direction !== 'import' && direction !== 'export')
    throw usageError(`--as ${direction} is neither import nor export`);
  return ({ input }) => named(namesFor(peer, intent, families[input.family]!.name, direction));
}

function namesFor(
  peer: PeerIntent,
  intent: Intent,
  family: PeerIntent['families'][number],
  direction: 'import' | 'export',
): readonly string[] {
  const own = peer.byFamily?.[family]?.[direction] ?? peer[direction];
  if (own !== undefined) return own;
  const internal =
    peer.remoteAs.kind === 'internal' || onlyAsn(peer.remoteAs, intent.bgp.asn) === intent.bgp.asn;
  return [defaultPolicies(intent.bgp.profile, internal)[direction]];
}

function absent(code: string, file: string, kind: string, name: string, known: readonly string[]): CliError {
  const hint = suggestion(name, known);
  return new CliError(ABSENT, {
    code,
    message: `${file} has no ${kind} ${name}`,
    ...(hint !== undefined && { hint }),
  });
}

function tested(policy: CompiledPolicy, { text, input }: DescribedRoute, out: PolicyOutput): TestedRoute {
  const explanation = explain(policy, input, out);
  const before = attributesNow(input, { ...out, attrsChanged: false });
  const route: TestedRoute = { prefix: text, ...explanation, before };
  if (explanation.verdict === 'reject') return route;
  route.attributes = attributesNow(input, out);
  if (out.weight >= 0) route.weight = out.weight;
  if (out.tag >= 0) route.tag = out.tag;
  if (out.nextHop === NEXT_HOP_SELF) route.nextHop = 'self';
  if (out.nextHop === NEXT_HOP_UNCHANGED) route.nextHop = 'unchanged';
  if (out.nextHop === NEXT_HOP_ADDRESS) route.nextHop = formatIp(out.nextHopAddress);
  return route;
}

/** One route in full; of several a line each. */
function render({ routes }: PolicyTestView): string {
  if (routes.length > 1)
    return routes.map((route) => `${route.verdict}  ${route.prefix}  ${route.text}\n`).join('');
  const route = routes[0]!;
  const steps = route.rules.flatMap(stepsOf);
  const rules = table(steps, [
    { title: 'Rule', of: (step) => step.rule },
    { title: '', of: (step) => step.mark },
    { title: 'Asks for', of: (step) => step.asks },
    { title: 'Saw', of: (step) => step.saw },
    { title: 'Does', of: (step) => step.does },
  ]);
  return `${route.prefix}: ${route.text}\n${rules === '' ? '' : `\n${rules}`}${outcome(route)}`;
}

interface Step {
  rule: string;
  mark: string;
  asks: string;
  saw: string;
  does: string;
}

/** A line for each condition that was asked, and one for what the rule did. */
function stepsOf(rule: TestedRoute['rules'][number]): Step[] {
  const number = rule.index < 0 ? 'default' : String(rule.index + 1);
  const within = rule.policy === undefined ? '' : `${rule.policy} `;
  const name = `${within}${number}${rule.name === undefined ? '' : ` ${rule.name}`}`;
  const asked = [...rule.held, ...(rule.failed === undefined ? [] : [rule.failed])];
  const does = rule.matched ? [...rule.changed, rule.action].join('; ') : '';
  if (asked.length === 0) return [{ rule: name, mark: 'yes', asks: '', saw: '', does }];
  return asked.map((asks, i) => ({
    rule: i === 0 ? name : '',
    mark: i < rule.held.length ? 'yes' : 'no',
    asks,
    saw: rule.saw[i]!,
    does: i === asked.length - 1 ? does : '',
  }));
}

/** What is different about an accepted route, one value a line. */
function outcome(route: TestedRoute): string {
  if (route.attributes === undefined) return '';
  const before: Readonly<Record<string, unknown>> = { ...route.before };
  const after: Readonly<Record<string, unknown>> = {
    ...route.attributes,
    ...(route.weight !== undefined && { weight: route.weight }),
    ...(route.tag !== undefined && { tag: route.tag }),
    ...(route.nextHop !== undefined && { nextHop: route.nextHop }),
  };
  const lines = [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => key !== 'asPathSegments' && wordOf(before[key]) !== wordOf(after[key]))
    .map((key) => `  ${key}: ${wordOf(before[key])} -> ${wordOf(after[key])}\n`);
  return lines.length === 0 ? '\nnothing is changed\n' : `\nchanged:\n${lines.join('')}`;
}

function wordOf(value: unknown): string {
  if (value === undefined || value === '') return 'none';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

// From the text of configuration files to an Intent, or to everything that is wrong with them: read each file into a
// tree, join the trees, judge the shape, judge what spans several keys, resolve. Pure: file contents, the host name
// and password files are passed in, so the same code serves the daemon, `leafctl check` and the REST API.
// A configuration is refused whole: with any problem there is no Intent.

import { LeafdError } from '../lib/leafd-error.ts';
import {
  formatIp,
  isLinkLocal6,
  isLoopback6,
  isMulticast6,
  isUnspecified,
  parseIp,
  parseIp4,
} from '../net/ip.ts';
import { type Prefix, parsePrefix, prefixText } from '../net/prefix.ts';
import {
  resolveAggregates,
  resolveConfederation,
  resolveGracefulRestart,
  resolveRoutes,
} from './bgp-routing.ts';
import { readDocument } from './document.ts';
import { parseDuration } from './duration.ts';
import { resolveGuests } from './guests-resolve.ts';
import type {
  BgpIntent,
  Intent,
  KernelIntent,
  RedistributeSource,
  RpkiIntent,
  RpkiServer,
} from './intent.ts';
import { problemsOf } from './issues.ts';
import { complain, type Findings, type PeerContext, type SecretFile } from './merged.ts';
import { type OpenperouterInput, type OpenperouterResult, readOpenperouter } from './openperouter.ts';
import { resolvePassthrough } from './passthrough-resolve.ts';
import { checkPeers } from './peer-checks.ts';
import { chainOf } from './peer-options.ts';
import { resolvePeers } from './peers.ts';
import { type AsPathJudge, checkPolicies, resolvePolicies } from './policy-checks.ts';
import { asnOf } from './scalars.ts';
import { type Config, configSchema } from './schema.ts';
import type { BgpConfig, RpkiConfig } from './schema-bgp.ts';
import { DEFAULT_OPENPEROUTER } from './schema-passthrough.ts';
import {
  type ConfigProblem,
  formatProblem,
  locate,
  type MapNode,
  mergeTrees,
  plainOf,
  type SourceText,
} from './tree.ts';

export interface LoadOptions {
  /** The default of node.name. */
  hostname: string;
  /** Reads a password file; `from` is the configuration file that names it. Absent: such files are refused. */
  readSecret?: (path: string, from: string) => SecretFile;
  /** Judges an AS path pattern (the policy room's parser); absent: any is taken. */
  judgeAsPath?: AsPathJudge;
  /** Resources of OpenPERouter, where `passthrough.openperouter` asks for them. Absent or undefined: none are read. */
  openperouter?: (settings: OpenperouterSettings) => OpenperouterInput | undefined;
}

/** What a configuration says of where resources are, and of the node that they select; not judged yet. */
export interface OpenperouterSettings {
  directory: string;
  node: { name: string; labels: Readonly<Record<string, string>> };
}

/** What a configuration comes to: an intent, or problems; warnings in either case. */
export interface LoadResult {
  intent?: Intent;
  problems: ConfigProblem[];
  warnings: ConfigProblem[];
  /** What was read of OpenPERouter. A bad resource is no problem of the configuration; one that contradicts it is. */
  openperouter?: OpenperouterResult;
}

/** Loads a configuration from the main file and its drop-ins, in that order. */
export function loadConfig(sources: readonly SourceText[], options: LoadOptions): LoadResult {
  const { root, problems } = readSources(sources);
  if (root === undefined || problems.length > 0) return { problems, warnings: [] };
  const openperouter = addResources(root, options, problems);
  const result = problems.length > 0 ? { problems, warnings: [] } : judge(root, options);
  if (openperouter !== undefined) result.openperouter = openperouter;
  return result;
}

function judge(root: MapNode, options: LoadOptions): LoadResult {
  const plain = plainOf(root);
  const parsed = configSchema.safeParse(plain);
  if (!parsed.success)
    return {
      problems: sorted(problemsOf(parsed.error.issues, plain).map((one) => locate(root, one))),
      warnings: [],
    };
  const findings: Findings = { problems: [], warnings: [] };
  const readSecret: PeerContext['readSecret'] = (file, path) => {
    const from = locate(root, { path, reason: '' }).where.file;
    return options.readSecret?.(file, from) ?? { kind: 'failed', reason: 'files are not read here' };
  };
  const intent = resolve(parsed.data, options, readSecret, findings);
  const located = (list: Findings['problems']) => sorted(list.map((one) => locate(root, one)));
  const result: LoadResult = { problems: located(findings.problems), warnings: located(findings.warnings) };
  if (intent !== undefined && result.problems.length === 0) result.intent = intent;
  return result;
}

/** Joins what resources of OpenPERouter say to a configuration that asks for them. */
function addResources(
  root: MapNode,
  options: LoadOptions,
  problems: ConfigProblem[],
): OpenperouterResult | undefined {
  const passthrough = root.entries.get('passthrough')?.value;
  const settings = passthrough?.kind === 'map' ? passthrough.entries.get('openperouter')?.value : undefined;
  if (settings === undefined || settings.kind === 'list') return undefined;
  if (settings.kind === 'scalar' && settings.value !== true) return undefined;
  const given = settings.kind === 'map' ? settings.entries.get('directory')?.value : undefined;
  const isPath = given?.kind === 'scalar' && typeof given.value === 'string';
  const directory = isPath ? String(given.value) : DEFAULT_OPENPEROUTER;
  const input = options.openperouter?.({ directory, node: nodeOf(root, options.hostname) });
  const result = input === undefined ? undefined : readOpenperouter(input);
  if (result?.config !== undefined) problems.push(...mergeTrees(root, result.config));
  // Who we are is for the resources to say; as long as there are none, nobody speaks.
  const { place } = settings;
  if (!root.entries.has('bgp'))
    root.entries.set('bgp', { keyPlace: place, value: { kind: 'map', place, entries: new Map() } });
  return result;
}

/** Name and labels as far as they are texts; what else stands there is for the schema to judge. */
function nodeOf(root: MapNode, hostname: string): OpenperouterSettings['node'] {
  const node = root.entries.get('node')?.value;
  const [name, labels] = ['name', 'labels'].map((key) =>
    node?.kind === 'map' ? node.entries.get(key)?.value : undefined,
  );
  const texts: Record<string, string> = {};
  if (labels?.kind === 'map')
    for (const [key, { value }] of labels.entries)
      if (value.kind === 'scalar' && typeof value.value === 'string') texts[key] = value.value;
  const isNamed = name?.kind === 'scalar' && typeof name.value === 'string';
  return { name: isNamed ? String(name.value) : hostname, labels: texts };
}

/** The first problem as an error, for callers that can only stop; the others are counted in its hint. */
export function configError(problems: readonly ConfigProblem[]): LeafdError {
  const first = problems[0]!;
  const more =
    problems.length > 1 ? `and ${problems.length - 1} more: leafctl check shows them all` : undefined;
  const hint = [first.hint, more].filter((part) => part !== undefined).join('; ');
  const message = first.path === '' ? first.reason : `${first.path}: ${first.reason}`;
  return new LeafdError('config-invalid', message, { where: first.where, ...(hint === '' ? {} : { hint }) });
}

/** Problems as lines for people: place, path, reason, and the hint in brackets. */
export function problemLines(problems: readonly ConfigProblem[]): string[] {
  return problems.map((one) => formatProblem(one) + (one.hint === undefined ? '' : ` (${one.hint})`));
}

function readSources(sources: readonly SourceText[]): { root?: MapNode; problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  let root: MapNode | undefined;
  for (const source of sources) {
    const read = readDocument(source);
    problems.push(...read.problems);
    if (read.root === undefined) continue;
    if (root === undefined) root = read.root;
    else problems.push(...mergeTrees(root, read.root));
  }
  return root === undefined ? { problems } : { root, problems };
}

/** In the order of the files as read, then by line; each place and reason once (groups are seen by every peer). */
function sorted(problems: ConfigProblem[]): ConfigProblem[] {
  const files = [...new Set(problems.map((one) => one.where.file))];
  const unique = new Map(problems.map((one) => [formatProblem(one), one]));
  return [...unique.values()].sort(
    (a, b) =>
      files.indexOf(a.where.file) - files.indexOf(b.where.file) ||
      a.where.line - b.where.line ||
      a.where.column - b.where.column,
  );
}

function resolve(
  config: Config,
  options: LoadOptions,
  readSecret: PeerContext['readSecret'],
  findings: Findings,
): Intent | undefined {
  findings.problems.push(...checkPolicies(config, options.judgeAsPath ?? (() => undefined)));
  const kernel = resolveKernel(config);
  const { bgp, passthrough } = resolveRouter(config, kernel, readSecret, findings);
  const listen = resolveListen(config.api?.listen, findings);
  const intent: Intent = {
    node: { name: config.node?.name ?? options.hostname, labels: { ...config.node?.labels } },
    api: {
      socket: config.api?.socket ?? '/run/leafd/leafd.sock',
      ...(listen === undefined ? {} : { listen }),
    },
    bgp,
    policies: resolvePolicies(config.policies),
    rpki: resolveRpki(config.rpki, findings),
    kernel,
  };
  if (passthrough !== undefined) intent.passthrough = passthrough;
  if (config.guests !== undefined) intent.guests = resolveGuests(config.guests, { bgp, kernel }, findings);
  return intent;
}

function resolveKernel({ kernel }: Config): KernelIntent {
  return {
    fib: kernel?.fib ?? true,
    nexthopCompat: kernel?.nexthopCompat ?? 'auto',
    metric: kernel?.metric ?? 20,
    table: kernel?.table ?? 254,
  };
}

/** `127.0.0.1:7179`, `[::1]:7179` or `localhost:7179`: nothing but loopback, it has neither TLS nor a token. */
function resolveListen(
  text: string | undefined,
  findings: Findings,
): { host: string; port: number } | undefined {
  if (text === undefined) return undefined;
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const path = ['api', 'listen'];
  const port = Number(parts?.[3]);
  if (parts === null || port < 1 || port > 65535) {
    findings.problems.push({ path, reason: 'must be an address and a port', hint: 'such as 127.0.0.1:7179' });
    return undefined;
  }
  const name = parts[1] ?? parts[2]!;
  const address = parseIp(name === 'localhost' ? '127.0.0.1' : name);
  const loopback =
    address !== undefined && (address.length === 4 ? address[0] === 127 : isLoopback6(address));
  if (loopback) return { host: formatIp(address), port };
  findings.problems.push({
    path,
    reason: 'must be a loopback address',
    hint: 'people reach it through ssh -L',
  });
  return undefined;
}

/** `bgp`, and `passthrough` with what it adds to it. */
function resolveRouter(
  config: Config,
  kernel: KernelIntent,
  readSecret: PeerContext['readSecret'],
  findings: Findings,
): Pick<Intent, 'bgp' | 'passthrough'> {
  const { bgp, positions, context } = resolveBgp(config, readSecret, findings);
  if (config.passthrough === undefined) return { bgp };
  const around = {
    bgp,
    positions,
    groups: config.bgp.groups,
    kernel,
    hasGuests: config.guests !== undefined,
    context,
  };
  const { passthrough, peers, networks } = resolvePassthrough(config.passthrough, around, findings);
  bgp.peers = [...bgp.peers, ...peers];
  bgp.networks = [...bgp.networks, ...networks];
  if (!waitsForUnderlay(config)) return { bgp, passthrough };
  return { bgp: { ...bgp, peers: [] }, passthrough: { ...passthrough, speakers: [] } };
}

/** Whether resources of OpenPERouter are to say who we are, and none of this node does: there is nobody to speak. */
function waitsForUnderlay({ bgp, passthrough }: Config): boolean {
  const { openperouter = false } = passthrough ?? {};
  return openperouter !== false && bgp.asn === undefined;
}

interface ResolvedBgp {
  bgp: BgpIntent;
  /** Where `bgp.peers[i]` was written. */
  positions: number[];
  context: PeerContext;
}

function resolveBgp(whole: Config, readSecret: PeerContext['readSecret'], findings: Findings): ResolvedBgp {
  const config = whole.bgp;
  const speaker = config.speaker ?? 'leafd';
  const isNobody = speaker === 'none' || waitsForUnderlay(whole);
  // What comes through is to be passed on.
  const profile = config.profile ?? (whole.passthrough === undefined ? undefined : 'fabric');
  const asn = resolveAsn(config, isNobody, findings);
  const loopbacks = resolveLoopbacks(config, findings);
  const routerId = resolveRouterId(config, loopbacks, isNobody, findings);
  const context: PeerContext = {
    ...findings,
    localAsn: asn,
    hasProfile: profile !== undefined,
    asSet: config.asSet ?? 'refuse',
    readSecret,
  };
  const { peers, positions } = resolvePeers(config, context);
  const clusterId = config.clusterId === undefined ? routerId : parseIp4(config.clusterId)!;
  if (clusterId === 0 && routerId !== 0)
    findings.problems.push({ path: ['bgp', 'clusterId'], reason: 'must not be 0.0.0.0' });
  const networks = uniquePrefixes(config.networks, ['bgp', 'networks'], findings);
  const confederation = resolveConfederation(config, asn, findings);
  const bgp: BgpIntent = {
    speaker,
    asn,
    routerId,
    port: config.port ?? 179,
    loopbacks,
    networks,
    redistribute: resolveRedistribute(config),
    multipath: config.multipath ?? 16,
    multipathRelax: config.multipathRelax ?? true,
    linkBandwidth: config.linkBandwidth ?? false,
    alwaysCompareMed: config.alwaysCompareMed ?? false,
    missingMedWorst: config.missingMedWorst ?? false,
    bestExternal: config.bestExternal ?? false,
    gracefulShutdown: config.gracefulShutdown ?? false,
    gracefulRestart: resolveGracefulRestart(config, findings),
    routes: resolveRoutes(config, loopbacks, findings),
    aggregates: resolveAggregates(config, networks, findings),
    rtcDefault: config.rtcDefault ?? false,
    clusterId,
    peers,
  };
  if (profile !== undefined) bgp.profile = profile;
  if (confederation !== undefined) bgp.confederation = confederation;
  if (config.distance !== undefined) {
    const { external = 20, internal = 200, local = 200 } = config.distance;
    bgp.distance = { external, internal, local };
  }
  if (speaker === 'none') complainOfPeers(config, findings);
  findings.problems.push(...checkPeers(bgp, positions));
  warnUnusedGroups(whole, findings);
  return { bgp, positions, context };
}

function resolveRpki(config: RpkiConfig | undefined, findings: Findings): RpkiIntent {
  const seen = new Set<string>();
  const servers = (config?.servers ?? []).map((server, index): RpkiServer => {
    const path = ['rpki', 'servers', index];
    const { port } = server;
    if (
      parseIp(server.address) === undefined &&
      !/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(server.address)
    )
      complain(findings, [...path, 'address'], 'must be an address or a host name');
    if (seen.has(`${server.address} ${port}`))
      complain(findings, [...path, 'address'], 'is the server of an entry above');
    seen.add(`${server.address} ${port}`);
    const resolved: RpkiServer = { address: server.address, port };
    for (const [key, low, high] of rpkiTimes) {
      const ms = server[key] === undefined ? undefined : parseDuration(server[key])!;
      if (ms === undefined) continue;
      resolved[`${key}Ms`] = ms;
      if (ms % 1000 !== 0 || ms < low * 1000 || ms > high * 1000)
        complain(findings, [...path, key], `must be whole seconds from ${low}s to ${high}s (RFC 8210)`);
    }
    const { refreshMs = 0, retryMs = 0, expireMs } = resolved;
    if (expireMs !== undefined && expireMs <= Math.max(refreshMs, retryMs))
      complain(findings, [...path, 'expire'], 'must be longer than refresh and retry (RFC 8210)');
    if (index === RPKI_SERVERS_MAX) complain(findings, path, `is one more than ${RPKI_SERVERS_MAX} servers`);
    return resolved;
  });
  return config?.file === undefined ? { servers } : { servers, file: config.file };
}

/** What a table of payloads can tell apart (rpki/caches.ts). */
const RPKI_SERVERS_MAX = 14;

/** Bounds in seconds: those of RFC 8210 section 6, but an operator may have data forgotten sooner. */
const rpkiTimes = [
  ['refresh', 1, 86_400],
  ['retry', 1, 7200],
  ['expire', 2, 172_800],
] as const;

function warnUnusedGroups({ bgp, passthrough }: Config, findings: Findings): void {
  const users = [...(bgp.peers ?? []), ...(passthrough?.speakers ?? [])];
  for (const name of Object.keys(bgp.groups ?? {}))
    if (!users.some((peer) => peer.group === name))
      findings.warnings.push({
        path: ['bgp', 'groups', name],
        at: 'key',
        reason: 'is a group that no peer uses',
      });
}

/** Who speaks no BGP needs a number only for what its own routes are told apart by. */
const ASN_WITHOUT_SPEAKER = 64512;
/** The same as an identifier: not 0.0.0.0, and nobody's address. */
const ROUTER_ID_WITHOUT_SPEAKER = '192.0.0.8';

function resolveAsn(config: BgpConfig, isNobody: boolean, findings: Findings): number {
  if (config.asn !== undefined) return asnOf(config.asn);
  if (!isNobody) complain(findings, ['bgp', 'asn'], 'is required');
  return ASN_WITHOUT_SPEAKER;
}

function complainOfPeers(config: BgpConfig, findings: Findings): void {
  for (const key of ['peers', 'groups'] as const)
    if (config[key] !== undefined)
      findings.problems.push({
        path: ['bgp', key],
        at: 'key',
        reason: 'has no use with speaker: none',
        hint: 'another daemon of this machine speaks to the neighbours',
      });
}

function resolveRouterId(
  config: BgpConfig,
  loopbacks: readonly Prefix[],
  isNobody: boolean,
  findings: Findings,
): number {
  const path = ['bgp', 'routerId'];
  const first = loopbacks.find((prefix) => prefix.bytes.length === 4);
  const fallback = isNobody ? ROUTER_ID_WITHOUT_SPEAKER : undefined;
  const text = config.routerId ?? (first === undefined ? fallback : formatIp(first.bytes));
  if (text === undefined) {
    const hint = 'give it, or an IPv4 /32 in bgp.loopbacks';
    findings.problems.push({ path, reason: 'is required where there is no IPv4 loopback', hint });
    return 0;
  }
  const routerId = parseIp4(text)!;
  if (routerId === 0) findings.problems.push({ path, reason: 'must not be 0.0.0.0 (RFC 6286)' });
  return routerId;
}

function uniquePrefixes(texts: readonly string[] | undefined, path: string[], findings: Findings): Prefix[] {
  const seen = new Set<string>();
  return (texts ?? []).map((text, index) => {
    const prefix = parsePrefix(text)!;
    const canonical = prefixText(prefix);
    if (seen.has(canonical))
      findings.problems.push({ path: [...path, index], reason: 'is in the list already' });
    seen.add(canonical);
    return prefix;
  });
}

function resolveLoopbacks(config: BgpConfig, findings: Findings): Prefix[] {
  const path = ['bgp', 'loopbacks'];
  const loopbacks = uniquePrefixes(config.loopbacks, path, findings);
  for (const [index, { bytes, length }] of loopbacks.entries()) {
    const here = [...path, index];
    const longest = bytes.length * 8;
    const odd =
      bytes.length === 4
        ? bytes[0] === 127 || bytes[0]! >= 224
        : isLinkLocal6(bytes) || isMulticast6(bytes) || isLoopback6(bytes);
    if (length !== longest)
      findings.problems.push({
        path: here,
        reason: `must be a host prefix, /${longest}`,
        hint: 'wider prefixes are announced by bgp.networks',
      });
    else if (odd || isUnspecified(bytes))
      findings.problems.push({ path: here, reason: 'is not an address to be reached by' });
  }
  return loopbacks;
}

function resolveRedistribute(config: BgpConfig): BgpIntent['redistribute'] {
  const result: BgpIntent['redistribute'] = {};
  for (const source of ['connected', 'static', 'kernel'] as const) {
    const value = config.redistribute?.[source];
    if (value === undefined || value === false) continue;
    const wanted: RedistributeSource = value === true ? {} : { policy: chainOf(value.policy) };
    result[source] = wanted;
  }
  return result;
}

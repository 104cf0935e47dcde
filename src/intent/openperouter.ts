// Resources of OpenPERouter, from text to leafd's own configuration: found in their files (openperouter-documents.ts),
// read (-underlay, -neighbor, -session, -overlay), judged together (-rules), translated into the tree that leafd.yaml
// would be (-translate). One bad resource never stops the others: it is reported, and its last good version stays in
// force, as a webhook would have kept the bad one out.

import type { Place } from '../lib/leafd-error.ts';
import { type RawResource, readDocuments } from './openperouter-documents.ts';
import { complainTo, Fields } from './openperouter-fields.ts';
import type {
  OpenperouterInput,
  Resource,
  ResourceHead,
  ResourceKind,
  ResourceReport,
} from './openperouter-model.ts';
import { readL2Vni, readL3Vni, readL3Vpn, readRawFrr } from './openperouter-overlay.ts';
import { isUnchanged, judgeChange, judgeTogether, keyOf } from './openperouter-rules.ts';
import { readNodeSelector, readPassthrough, selects } from './openperouter-session.ts';
import { type LeftOut, translate } from './openperouter-translate.ts';
import { readUnderlay } from './openperouter-underlay.ts';
import { type ConfigProblem, formatPlace, formatProblem, type MapNode, type SourceText } from './tree.ts';

export type { NodeFile, OpenperouterInput, Resource, ResourceReport } from './openperouter-model.ts';
export { readNodeFile } from './openperouter-node.ts';

export interface OpenperouterResult {
  /** `bgp` and `passthrough` as in leafd.yaml; undefined where no Underlay is for this node. */
  config: MapNode | undefined;
  /** Good versions of now, for the next time. */
  good: ReadonlyMap<string, Resource>;
  /** Every resource seen, in the order of files; what of one is left out comes behind it. */
  resources: readonly ResourceReport[];
  /** One line each, path like `L3Passthrough/pt.hostSession.localCIDR.ipv4`. */
  problems: readonly ConfigProblem[];
}

/** A resource on its way: what was read, what is wrong with it, and which version is in force. */
interface Candidate {
  kind: ResourceKind;
  name: string;
  where: Place;
  problems: ConfigProblem[];
  /** As written now, where it could be read. */
  written: Resource | undefined;
  /** What was good before. */
  before: Resource | undefined;
  inForce: Resource | undefined;
  isSelected: boolean;
  leftOut: LeftOut[];
}

/** What the sources come to on this node. */
export function readOpenperouter(input: OpenperouterInput): OpenperouterResult {
  const good = input.good ?? new Map<string, Resource>();
  const found = readDocuments(input.sources);
  // What OpenPERouter has copied from the files of this host into the API is there twice.
  const hasFiles = found.resources.some(({ isStatic }) => isStatic);
  const raws = found.resources.filter(({ isMirror }) => !(hasFiles && isMirror));
  const candidates = readCandidates(raws, good);
  candidates.push(...keepBroken(candidates, good, found.broken));
  const accepted = acceptTogether(candidates, input.node);
  const config = translateAccepted(candidates, accepted, input);
  return {
    config,
    good: new Map(
      candidates.flatMap(({ inForce }) =>
        inForce === undefined ? [] : [[keyOf(inForce), inForce] as const],
      ),
    ),
    resources: candidates.flatMap((one) => reportsOf(one, accepted)),
    problems: [
      ...found.problems,
      ...candidates.flatMap(({ problems }) => problems.filter((one) => !found.problems.includes(one))),
    ],
  };
}

function readCandidates(raws: readonly RawResource[], good: ReadonlyMap<string, Resource>): Candidate[] {
  const owners = ownersOf(raws, good);
  return raws.map((raw) => {
    const { kind, name, where } = raw;
    const key = keyOf(raw);
    const owner = owners.get(key)!;
    const before = owner === raw ? good.get(key) : undefined;
    const problems = [...raw.problems];
    const resource = readResource(raw, problems);
    if (owner !== raw)
      problems.push({ where, path: key, reason: `is given already at ${formatPlace(owner.where)}` });
    if (resource !== undefined && before !== undefined && problems.length === 0)
      problems.push(...judgeChange(resource, before));
    const written = problems.length === 0 ? resource : undefined;
    return {
      kind,
      name,
      where,
      problems,
      written,
      before,
      inForce: undefined,
      isSelected: false,
      leftOut: [],
    };
  });
}

/**
 * Who has a name of a kind: the first, but a later one that is in force and from the same namespace. Else whoever may
 * write in another namespace of the cluster could take a resource's place by its name.
 */
function ownersOf(
  raws: readonly RawResource[],
  good: ReadonlyMap<string, Resource>,
): Map<string, RawResource> {
  const owners = new Map<string, RawResource>();
  for (const raw of raws) {
    const key = keyOf(raw);
    const owner = owners.get(key);
    const before = good.get(key);
    const isBefore = (one: RawResource): boolean =>
      before !== undefined && one.namespace === before.namespace;
    if (owner === undefined || (isBefore(raw) && !isBefore(owner))) owners.set(key, raw);
  }
  return owners;
}

function readResource(raw: RawResource, problems: ConfigProblem[]): Resource | undefined {
  if (raw.spec === undefined) return undefined;
  const spec = new Fields(raw.spec, keyOf(raw), complainTo(problems));
  const { name, namespace, where } = raw;
  const nodeSelector = readNodeSelector(spec);
  const head: ResourceHead = { name, where };
  if (namespace !== undefined) head.namespace = namespace;
  if (nodeSelector !== undefined) head.nodeSelector = nodeSelector;
  const resource = readers[raw.kind](spec, head);
  spec.finish();
  return resource;
}

const readers: Record<ResourceKind, (spec: Fields, head: ResourceHead) => Resource | undefined> = {
  Underlay: readUnderlay,
  L3Passthrough: readPassthrough,
  L3VNI: readL3Vni,
  L2VNI: readL2Vni,
  L3VPN: readL3Vpn,
  RawFRRConfig: readRawFrr,
};

/** A file that cannot be read says nothing about what was in it: that stays. */
function keepBroken(
  candidates: readonly Candidate[],
  good: ReadonlyMap<string, Resource>,
  broken: ReadonlyMap<string, ConfigProblem>,
): Candidate[] {
  const seen = new Set(candidates.map(keyOf));
  return [...good].flatMap(([key, before]) => {
    const problem = broken.get(before.where.file);
    if (problem === undefined || seen.has(key)) return [];
    const { kind, name } = before;
    const kept = { kind, name, where: problem.where, problems: [problem], before };
    return [{ ...kept, written: undefined, inForce: undefined, isSelected: false, leftOut: [] }];
  });
}

/**
 * Puts into force what goes together on the node, and returns what is selected of it. First what is as it was before,
 * so that a new resource never ousts an old one; then Underlays, which others depend on; then in the order of files.
 */
function acceptTogether(candidates: readonly Candidate[], node: OpenperouterInput['node']): Resource[] {
  const accepted: Resource[] = [];
  const rankOf = ({ written, before, kind }: Candidate): number => {
    const isOld = before !== undefined && (written === undefined || isUnchanged(written, before));
    return (isOld ? 0 : 10) + order.indexOf(kind);
  };
  const inOrder = candidates.map((candidate) => ({ candidate, rank: rankOf(candidate) }));
  inOrder.sort((a, b) => a.rank - b.rank);
  for (const { candidate } of inOrder) {
    for (const version of [candidate.written, candidate.before]) {
      if (version === undefined) continue;
      const isSelected = selects(version.nodeSelector, node.labels);
      const problems = isSelected ? judgeTogether(version, accepted, node.index) : [];
      if (version === candidate.written) candidate.problems.push(...problems);
      if (problems.length > 0) continue;
      candidate.inForce = version;
      candidate.isSelected = isSelected;
      if (isSelected) accepted.push(version);
      break;
    }
  }
  return accepted;
}

const order: readonly ResourceKind[] = [
  'Underlay',
  'L3Passthrough',
  'L3VNI',
  'L3VPN',
  'L2VNI',
  'RawFRRConfig',
];

function translateAccepted(
  candidates: readonly Candidate[],
  accepted: readonly Resource[],
  { node, secrets = new Map() }: OpenperouterInput,
): MapNode | undefined {
  const underlay = accepted.find((one) => one.kind === 'Underlay');
  if (underlay === undefined) return undefined;
  const passthrough = accepted.find((one) => one.kind === 'L3Passthrough');
  const around = { nodeIndex: node.index, resources: accepted, secrets };
  const { config, leftOut } = translate(underlay, passthrough, around);
  candidates.find(({ inForce }) => inForce === underlay)?.leftOut.push(...leftOut);
  return config;
}

const whyUnsupported: Partial<Record<ResourceKind, string>> = {
  L3VNI: 'L3VNI is not supported yet: leafd has no overlays; it was checked and is left out',
  L2VNI: 'L2VNI is not supported yet: leafd has no overlays; it was checked and is left out',
  L3VPN: 'L3VPN is not supported: leafd has no SRv6; it was checked and is left out',
  RawFRRConfig: 'RawFRRConfig is not supported: there is no FRR',
};

function reportsOf(candidate: Candidate, accepted: readonly Resource[]): ResourceReport[] {
  const { kind, name, leftOut } = candidate;
  const report = (where: Place, state: ResourceReport['state'], more: Partial<ResourceReport> = {}) => ({
    kind,
    name,
    where,
    state,
    ...more,
  });
  const parts = leftOut.map(({ where, state, message }) =>
    report(where, state, state === 'failed' ? { reason: 'DependencyFailed', message } : { message }),
  );
  return [ownReport(candidate, accepted, report), ...parts];
}

function ownReport(
  { kind, where, problems, inForce, isSelected }: Candidate,
  accepted: readonly Resource[],
  report: (where: Place, state: ResourceReport['state'], more?: Partial<ResourceReport>) => ResourceReport,
): ResourceReport {
  if (problems.length > 0) {
    const [first, ...more] = problems;
    const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
    const kept = inForce === undefined ? '' : '; the last good version stays in force';
    const message = `${formatProblem(first!)}${others}${kept}`;
    return report(where, 'failed', { reason: 'ValidationFailed', message });
  }
  if (!isSelected) return report(where, 'notSelected');
  const message = whyUnsupported[kind];
  const missing = missingOf(inForce, accepted);
  if (missing !== undefined) return report(where, 'failed', { reason: 'DependencyFailed', message: missing });
  if (message !== undefined) return report(where, 'unsupported', { message });
  const unused = inForce === undefined ? undefined : unusedAsn(inForce, accepted);
  return report(where, 'applied', unused === undefined ? {} : { message: unused });
}

/** What a resource depends on and is not there. */
function missingOf(resource: Resource | undefined, accepted: readonly Resource[]): string | undefined {
  if (resource?.kind === 'L2VNI' && resource.routing !== undefined && resource.routing.kind !== 'vrf') {
    const { kind, name } = resource.routing;
    const isThere = accepted.some((one) => one.kind === kind && one.name === name.value);
    return isThere ? undefined : `there is no ${kind} ${name.value} on this node`;
  }
  if (resource?.kind !== 'L3Passthrough' && resource?.kind !== 'L3VPN') return undefined;
  const hasUnderlay = accepted.some(({ kind }) => kind === 'Underlay');
  return hasUnderlay ? undefined : 'there is no Underlay for this node';
}

function unusedAsn(resource: Resource, accepted: readonly Resource[]): string | undefined {
  const underlay = accepted.find((one) => one.kind === 'Underlay');
  if (resource.kind !== 'L3Passthrough' || underlay === undefined) return undefined;
  const [own, asn] = [underlay.asn.value, resource.hostSession.asn.value];
  return own === asn
    ? undefined
    : `hostSession.asn ${asn} is not used: the session runs under AS ${own} of the Underlay`;
}

/** Label sets that tell all selectors of the sources apart, for who checks files without being a node. */
export function labelSetsOf(sources: readonly SourceText[]): Readonly<Record<string, string>>[] {
  const sets = new Map<string, Record<string, string>>([['{}', {}]]);
  for (const raw of readDocuments(sources).resources) {
    const selector = readResource(raw, [])?.nodeSelector;
    if (selector === undefined || sets.size >= LABEL_SETS_MAX) continue;
    const labels: Record<string, string> = { ...selector.matchLabels };
    for (const { key, operator, values } of selector.matchExpressions) {
      if (operator === 'In') labels[key] = values[0] ?? '';
      if (operator === 'Exists') labels[key] ??= '';
    }
    sets.set(JSON.stringify(Object.entries(labels).sort()), labels);
  }
  return [...sets.values()];
}

const LABEL_SETS_MAX = 64;

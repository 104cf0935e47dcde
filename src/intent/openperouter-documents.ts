// Which resources of OpenPERouter a text has: manifests of Kubernetes (several documents, lists, JSON) or a file of its
// daemon on hosts (openpe_*.yaml), where each entry is a spec. Manifests of others in the same file are passed over.

import type { Place } from '../lib/leafd-error.ts';
import { readDocument } from './document.ts';
import { type Complain, complainTo, Fields } from './openperouter-fields.ts';
import type { ResourceKind } from './openperouter-model.ts';
import { suggestion } from './suggest.ts';
import type { ConfigProblem, MapNode, SourceText, TreeNode } from './tree.ts';

/** A resource whose spec is still as written. */
export interface RawResource {
  kind: ResourceKind;
  name: string;
  namespace?: string;
  where: Place;
  /** Undefined: there is none, which `problems` tells. */
  spec: MapNode | undefined;
  /** What was wrong around the spec. */
  problems: ConfigProblem[];
  /** Copied into the API by OpenPERouter from a file of the host. */
  isMirror: boolean;
  /** From a file of the host. */
  isStatic: boolean;
}

export interface Documents {
  resources: RawResource[];
  /** What belongs to no resource: syntax, unknown kinds. */
  problems: ConfigProblem[];
  /** Files of which something could not be read as a resource, each with what was wrong first. */
  broken: Map<string, ConfigProblem>;
}

export const resourceKinds: readonly ResourceKind[] = [
  'Underlay',
  'L3Passthrough',
  'L3VNI',
  'L2VNI',
  'L3VPN',
  'RawFRRConfig',
];

const groups = ['openpe.openperouter.github.io', 'network.openperouter.io'];
/** What it reports, and its operator's own; not for a router to read. */
const otherKinds = ['RouterNodeConfigurationStatus', 'UnderlayNodeStatus', 'OpenPERouter'];
/** Keys of static files, with the kind of their entries. */
const staticKeys: readonly (readonly [string, ResourceKind])[] = [
  ['underlays', 'Underlay'],
  ['l3vnis', 'L3VNI'],
  ['l2vnis', 'L2VNI'],
  ['l3vpns', 'L3VPN'],
  ['bgppassthrough', 'L3Passthrough'],
  ['rawfrrconfigs', 'RawFRRConfig'],
];
const DOCUMENTS_MAX = 4096;
/** Of one kind; far above what a node can have, and they are compared each with each. */
const RESOURCES_MAX = 1000;

/** Every resource of the sources, in their order. */
export function readDocuments(sources: readonly SourceText[]): Documents {
  const found: Documents = { resources: [], problems: [], broken: new Map() };
  const reader = new DocumentReader(found);
  for (const source of sources) {
    const before = found.problems.length;
    const parts = partsOf(source);
    for (const part of parts.slice(0, DOCUMENTS_MAX)) reader.read(part.source, part.linesBefore);
    const more = parts[DOCUMENTS_MAX];
    if (more !== undefined) {
      const where = { file: source.file, line: more.linesBefore + 1, column: 1 };
      found.problems.push({ where, path: '', reason: `is one more than ${DOCUMENTS_MAX} documents` });
    }
    const first = found.problems[before];
    if (first !== undefined) found.broken.set(source.file, first);
  }
  return found;
}

interface Part {
  source: SourceText;
  linesBefore: number;
}

/** The documents of a text. A line of `---` always begins one: no scalar may hold it (YAML 1.2, 9.1.2). */
function partsOf(source: SourceText): Part[] {
  if (!/\n---(\s|$)/.test(source.text)) return [{ source, linesBefore: 0 }];
  const parts: Part[] = [];
  const marker = /^---(?=\s|$)/gm;
  let start = 0;
  let linesBefore = 0;
  const cut = (end: number) => {
    const text = source.text.slice(start, end);
    // Comments and directives before a marker belong to the document behind it.
    if (end < source.text.length && /^(\s*([#%].*)?(\n|$))*$/.test(text)) return;
    if (parts.length <= DOCUMENTS_MAX) parts.push({ source: { file: source.file, text }, linesBefore });
    linesBefore += text.split('\n').length - 1;
    start = end;
  };
  for (const { index } of source.text.matchAll(marker)) if (index > start) cut(index);
  cut(source.text.length);
  return parts;
}

class DocumentReader {
  private readonly found: Documents;
  /** Entries of static files without a name. */
  private readonly counts = new Map<string, number>();
  private readonly kinds = new Map<ResourceKind, number>();

  constructor(found: Documents) {
    this.found = found;
  }

  read(source: SourceText, linesBefore: number): void {
    const { root, problems } = readDocument(source, linesBefore);
    for (const { where, path, reason, hint } of problems) {
      const own: ConfigProblem = { where, path: '', reason: path === '' ? reason : `${path} ${reason}` };
      const isMap = !reason.startsWith('is not a map of sections');
      if (!isMap) own.reason = 'is neither a manifest nor a file of OpenPERouter';
      else if (hint !== undefined) own.hint = hint;
      this.found.problems.push(own);
    }
    if (root === undefined || root.entries.size === 0) return;
    if (root.entries.has('kind') || root.entries.has('apiVersion')) this.manifest(root, undefined);
    else this.staticFile(root);
  }

  private manifest(root: MapNode, kindOfList: string | undefined): void {
    const kind = textAt(root, 'kind') ?? kindOfList;
    const apiVersion =
      textAt(root, 'apiVersion') ?? (kindOfList === undefined ? undefined : `${groups[0]}/v1alpha1`);
    const isForeign = apiVersion !== undefined && !groups.includes(apiVersion.split('/')[0]!);
    if (kind?.endsWith('List') === true && (kind === 'List' || !isForeign))
      this.list(root, kind.slice(0, -4));
    else if (kind === undefined || apiVersion === undefined)
      this.complain(root.place, 'needs apiVersion and kind');
    else if (!isForeign && !otherKinds.includes(kind)) this.resource(root, kind, apiVersion);
  }

  private list(root: MapNode, kind: string): void {
    const items = root.entries.get('items')?.value;
    for (const item of items?.kind === 'list' ? items.items : [])
      if (item.kind === 'map') this.manifest(item, kind === '' ? undefined : kind);
  }

  private resource(root: MapNode, kind: string, apiVersion: string): void {
    const known = resourceKinds.find((one) => one === kind);
    const placeOf = (key: string) => root.entries.get(key)?.value.place ?? root.place;
    if (apiVersion.split('/')[1] !== 'v1alpha1')
      this.complain(
        placeOf('apiVersion'),
        'is of a version that is not known',
        'known: v1alpha1',
        'apiVersion',
      );
    else if (known === undefined)
      this.complain(placeOf('kind'), 'is not a kind of OpenPERouter', suggestion(kind, resourceKinds));
    else this.addManifest(root, known);
  }

  private addManifest(root: MapNode, kind: ResourceKind): void {
    const metadata = root.entries.get('metadata')?.value;
    const inMetadata = metadata?.kind === 'map' ? metadata : undefined;
    const name = inMetadata === undefined ? undefined : textAt(inMetadata, 'name');
    const namespace = inMetadata === undefined ? undefined : textAt(inMetadata, 'namespace');
    const problems: ConfigProblem[] = [];
    const complain = complainTo(problems);
    const path = `${kind}/${name ?? '?'}`;
    if (name === undefined || name === '')
      complain(metadata?.place ?? root.place, `${path}.metadata.name`, 'is required');
    const fields = new Fields(root, path, complain);
    for (const key of ['apiVersion', 'kind', 'metadata', 'status']) fields.take(key);
    const spec = fields.need('spec')?.node;
    fields.finish();
    this.add({
      kind,
      name: name ?? '?',
      where: root.place,
      spec: mapOrTell(spec, `${path}.spec`, complain),
      problems,
      isMirror: isMirror(inMetadata),
      isStatic: false,
      ...(namespace === undefined ? {} : { namespace }),
    });
  }

  private staticFile(root: MapNode): void {
    const problems: ConfigProblem[] = [];
    const complain = complainTo(problems);
    // The path of a key at the top is the key alone.
    const fields = new Fields(root, '', (where, path, ...more) => complain(where, path.slice(1), ...more));
    for (const [key, kind] of staticKeys) {
      const field = fields.take(key);
      if (field === undefined) continue;
      const isList = field.node.kind === 'list';
      if (kind !== 'L3Passthrough' && !isList) complain(field.node.place, key, 'must be a list');
      else
        for (const entry of field.node.kind === 'list' ? field.node.items : [field.node])
          this.addEntry(entry, kind);
    }
    fields.finish();
    this.found.problems.push(...problems);
  }

  /** An entry of a static file. One without a name is called by its file and number; passthrough is but one. */
  private addEntry(entry: TreeNode, kind: ResourceKind): void {
    const isPassthrough = kind === 'L3Passthrough';
    const stem = isPassthrough
      ? 'passthrough'
      : entry.place.file.replace(/^.*\//, '').replace(/\.ya?ml$/, '');
    const count = this.counts.get(`${kind}/${stem}`) ?? 0;
    this.counts.set(`${kind}/${stem}`, count + 1);
    const named = entry.kind === 'map' ? textAt(entry, 'name') : undefined;
    const fallback = isPassthrough && count === 0 ? stem : `${stem}.${count}`;
    const name = named === undefined || named === '' ? fallback : named;
    const problems: ConfigProblem[] = [];
    const complain = complainTo(problems);
    const spec = mapOrTell(entry, `${kind}/${name}`, complain);
    const rest = spec === undefined ? undefined : { ...spec, entries: new Map(spec.entries) };
    rest?.entries.delete('name');
    this.add({ kind, name, where: entry.place, spec: rest, problems, isMirror: false, isStatic: true });
  }

  private add(resource: RawResource): void {
    const { kind, where } = resource;
    const count = this.kinds.get(kind) ?? 0;
    this.kinds.set(kind, count + 1);
    if (count < RESOURCES_MAX) this.found.resources.push(resource);
    else if (count === RESOURCES_MAX)
      this.complain(
        where,
        `is one more than ${RESOURCES_MAX} of kind ${kind}`,
        'it and all behind it are left out',
      );
  }

  private complain(where: Place, reason: string, hint?: string, path = 'kind'): void {
    const problem = { where, path, reason };
    this.found.problems.push(hint === undefined ? problem : { ...problem, hint });
  }
}

function mapOrTell(node: TreeNode | undefined, path: string, complain: Complain): MapNode | undefined {
  if (node === undefined || node.kind === 'map') return node;
  complain(node.place, path, 'must be a map');
  return undefined;
}

function textAt(map: MapNode, key: string): string | undefined {
  const node = map.entries.get(key)?.value;
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}

function isMirror(metadata: MapNode | undefined): boolean {
  const labels = metadata?.entries.get('labels')?.value;
  if (labels?.kind !== 'map') return false;
  return (
    textAt(labels, 'openperouter.github.io/source') === 'static' ||
    textAt(labels, 'openperouter.io/static-source') === 'true'
  );
}

// What leafd reads of a Kubernetes cluster, and how objects of its API become text for the readers of OpenPERouter's
// resources (intent/openperouter.ts). Pure. Of an object only what is configuration is kept: what changes with every
// heartbeat (status, managedFields, resourceVersion) would otherwise look like a change.
//
// Resources that OpenPERouter mirrors from the static files of a node are left out: leafd reads the files themselves.

import type { SourceText } from '../intent/tree.ts';

/** An object of the API, as far as it is looked at. */
export interface ApiObject {
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    creationTimestamp?: string;
    labels?: Readonly<Record<string, string>>;
    annotations?: Readonly<Record<string, string>>;
  };
  spec?: unknown;
  /** Of a Secret: base64. */
  data?: Readonly<Record<string, string>>;
}

/** Of generation C first: where both have an object of one name, an upgrade is under way and the newer one counts. */
export const GROUPS: readonly string[] = ['network.openperouter.io', 'openpe.openperouter.github.io'];
export const VERSION = 'v1alpha1';

export interface ResourceType {
  group: string;
  kind: string;
  plural: string;
}

const KINDS: readonly (readonly [kind: string, plural: string])[] = [
  ['Underlay', 'underlays'],
  ['L3Passthrough', 'l3passthroughs'],
  ['L3VNI', 'l3vnis'],
  ['L2VNI', 'l2vnis'],
  ['L3VPN', 'l3vpns'],
  ['RawFRRConfig', 'rawfrrconfigs'],
];

export const RESOURCE_TYPES: readonly ResourceType[] = GROUPS.flatMap((group) =>
  KINDS.map(([kind, plural]) => ({ group, kind, plural })),
);

/** Where the status of a node's configuration is written, where it exists. */
export const STATUS_KIND = 'RouterNodeConfigurationStatus';
export const STATUS_PLURAL = 'routernodeconfigurationstatuses';

/** Written by OpenPERouter's node marker, and by its daemon on hosts, in all generations. */
const NODE_INDEX = 'openpe.io/nodeindex';
const MIRROR_LABEL = 'openperouter.github.io/source';
const MIRROR_VALUE = 'static';

const MAX_INDEX = 65_535;
/** Of one resource as JSON; larger ones are not looked at (the API server takes 1.5 MB at most). */
export const MAX_OBJECT_BYTES = 256 * 1024;
/** Secrets that are watched at most. */
export const MAX_SECRETS = 64;

/** The path of all objects of a type, in one namespace or in all. */
export function typePath({ group, plural }: ResourceType, namespace: string | undefined): string {
  const where = namespace === undefined ? '' : `namespaces/${encodeURIComponent(namespace)}/`;
  return `/apis/${group}/${VERSION}/${where}${plural}`;
}

/** Tells collections apart: of one path there may be several, of one object each. */
export function collectionKey(path: string, fieldSelector?: string): string {
  return fieldSelector === undefined ? path : `${path}?${fieldSelector}`;
}

/** What is kept of a resource; undefined for a mirror of a static file. */
export function configurationOf(object: ApiObject): ApiObject | undefined {
  const { name, namespace, labels, creationTimestamp } = object.metadata;
  if (labels?.[MIRROR_LABEL] === MIRROR_VALUE) return undefined;
  const where = namespace === undefined ? {} : { namespace };
  const since = creationTimestamp === undefined ? {} : { creationTimestamp };
  return { metadata: { name, ...where, ...since }, spec: object.spec ?? {} };
}

/** What is kept of a node: labels, the index, and the uid, because the status is owned by the node. */
export function nodePartOf({ metadata }: ApiObject): ApiObject {
  const { name, uid, labels = {}, annotations = {} } = metadata;
  const index = annotations[NODE_INDEX];
  return {
    metadata: {
      name,
      ...(uid === undefined ? {} : { uid }),
      labels,
      ...(index === undefined ? {} : { annotations: { [NODE_INDEX]: index } }),
    },
  };
}

export function secretPartOf({ metadata: { name, namespace }, data = {} }: ApiObject): ApiObject {
  return { metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, data };
}

/** A resource as a source of configuration: indented, so that a place in it has a line of its own. */
export function sourceOf(type: ResourceType, object: ApiObject): SourceText {
  const { creationTimestamp: _, ...metadata } = object.metadata;
  const { name, namespace } = metadata;
  const body = {
    apiVersion: `${type.group}/${VERSION}`,
    kind: type.kind,
    metadata,
    spec: object.spec,
  };
  return { file: `kubernetes:${namespace ?? ''}/${type.kind}/${name}`, text: JSON.stringify(body, null, 2) };
}

/**
 * All sources, each name of a kind once. The oldest first, as the cluster tells it: of two that exclude each other the
 * first counts, and nobody shall oust another's resource by making one with a name that sorts before it.
 */
export function sourcesOf(
  found: readonly { type: ResourceType; objects: Iterable<ApiObject> }[],
): SourceText[] {
  const sources = new Map<string, { source: SourceText; since: string }>();
  const byAge = found.toSorted((a, b) => GROUPS.indexOf(a.type.group) - GROUPS.indexOf(b.type.group));
  for (const { type, objects } of byAge)
    for (const object of objects) {
      const source = sourceOf(type, object);
      const { creationTimestamp: since = '' } = object.metadata;
      if (!sources.has(source.file)) sources.set(source.file, { source, since });
    }
  return [...sources.values()]
    .sort((a, b) =>
      a.since === b.since ? (a.source.file < b.source.file ? -1 : 1) : a.since < b.since ? -1 : 1,
    )
    .map(({ source }) => source);
}

export interface NodeFacts {
  index?: number;
  labels: Readonly<Record<string, string>>;
}

export function nodeFacts(node: ApiObject | undefined): NodeFacts {
  const text = node?.metadata.annotations?.[NODE_INDEX] ?? '';
  const index = /^\d{1,5}$/.test(text) ? Number(text) : undefined;
  const labels = node?.metadata.labels ?? {};
  return index === undefined || index > MAX_INDEX ? { labels } : { index, labels };
}

/** A Secret that a neighbour names, and the keys asked for in it. */
export interface SecretReference {
  namespace: string;
  name: string;
  keys: readonly string[];
}

/** Names of objects: nothing else is put into a request. */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Secrets named by `passwordSecret` of Underlays, each in its Underlay's namespace, by `NAMESPACE/NAME`. */
export function secretReferences(underlays: Iterable<ApiObject>): Map<string, SecretReference> {
  const found = new Map<string, SecretReference>();
  for (const { metadata, spec } of underlays)
    for (const neighbor of listOf(mapOf(spec).neighbors)) {
      const given = mapOf(neighbor).passwordSecret;
      const name = typeof given === 'string' ? given : mapOf(given).name;
      const key = typeof given === 'string' ? undefined : mapOf(given).key;
      const { namespace } = metadata;
      if (typeof name !== 'string' || namespace === undefined || !OBJECT_NAME.test(name)) continue;
      const id = `${namespace}/${name}`;
      const keys = new Set([...(found.get(id)?.keys ?? []), typeof key === 'string' ? key : 'password']);
      if (found.size < MAX_SECRETS || found.has(id))
        found.set(id, { namespace, name, keys: [...keys].sort() });
    }
  return found;
}

/** Passwords by `NAMESPACE/NAME` (of the key `password`), and by `NAMESPACE/NAME/KEY` of each key that is named. */
export function passwordsOf(
  references: ReadonlyMap<string, SecretReference>,
  secretAt: (id: string) => ApiObject | undefined,
  decode: (base64: string) => string,
): Map<string, string> {
  const passwords = new Map<string, string>();
  for (const [id, { keys }] of references) {
    const data = secretAt(id)?.data ?? {};
    for (const key of keys) {
      const value = Object.hasOwn(data, key) ? decode(data[key]!) : undefined;
      if (value === undefined) continue;
      passwords.set(`${id}/${key}`, value);
      if (key === 'password') passwords.set(id, value);
    }
  }
  return passwords;
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

// Resources of OpenPERouter, from text to leafd's own configuration: read (openperouter-read.ts), judged one by one and
// together (openperouter-rules.ts), translated into the tree that leafd.yaml would be (openperouter-translate.ts).
// One bad resource never stops the others: it is reported, and its last good version stays in force.

import type { NodeFile, OpenperouterInput, Resource, ResourceReport } from './openperouter-model.ts';
import type { ConfigProblem, MapNode, SourceText } from './tree.ts';

export type { NodeFile, OpenperouterInput, Resource, ResourceReport } from './openperouter-model.ts';

export interface OpenperouterResult {
  /** `bgp` and `passthrough` as in leafd.yaml; undefined where no Underlay is for this node. */
  config: MapNode | undefined;
  /** Good versions of now, for the next time. */
  good: ReadonlyMap<string, Resource>;
  /** Every resource seen, in the order of files. */
  resources: readonly ResourceReport[];
  /** One line each, path like `L3Passthrough/pt.hostSession.localCIDR.ipv4`. */
  problems: readonly ConfigProblem[];
}

/** What the sources come to on this node. */
export function readOpenperouter(input: OpenperouterInput): OpenperouterResult {
  return { config: undefined, good: input.good ?? new Map(), resources: [], problems: [] };
}

/** node-config.yaml of OpenPERouter on hosts without Kubernetes, in all spellings. */
export function readNodeFile(_source: SourceText): { node?: NodeFile; problems: ConfigProblem[] } {
  return { problems: [] };
}

// How OpenPERouter's resources fare on this node, in the shape of its RouterNodeConfigurationStatus, so that what reads
// that goes on to work. Ready tells whether all that leafd can do is done; Degraded also what it cannot do.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { OpenperouterResult } from '../intent/openperouter.ts';
import type { ResourceKind, ResourceReport } from '../intent/openperouter-model.ts';
import { formatProblem } from '../intent/tree.ts';

export interface RouterNodeStatus {
  conditions: RouterNodeCondition[];
  failedResources: FailedResource[];
}

export interface RouterNodeCondition {
  type: 'Ready' | 'Degraded';
  status: 'True' | 'False';
  reason: 'ConfigurationSuccessful' | 'ConfigurationFailed' | 'UnderlayFailed';
  message: string;
}

export interface FailedResource {
  kind: string;
  name: string;
  reason: string;
  message: string;
}

const NAMES_MAX = 10;

/** The reason that comes nearest, of those that the kind knows, for what leafd does not do at all. */
const unsupportedReasons: Partial<Record<ResourceKind, string>> = {
  L3VNI: 'OverlayAttachmentFailed',
  L2VNI: 'OverlayAttachmentFailed',
  L3VPN: 'OverlayAttachmentFailed',
  RawFRRConfig: 'FrrConfigurationFailed',
};

/** What is not in force though the resources are fine: in the kernel, and of it the NICs that are not inside. */
export interface KernelFaults {
  failures: string[];
  underlay: string[];
}

/** The faults among what the plane has made. A NIC that is waited for, or was taken back, is one: nothing passes. */
export function kernelFaults(
  status: readonly Pick<ObjectStatus, 'key' | 'kind' | 'state' | 'errno' | 'text'>[],
): KernelFaults {
  const faults: KernelFaults = { failures: [], underlay: [] };
  for (const { key, kind, state, errno, text } of status) {
    const isNic = kind === 'nic';
    if (state === 'done' || (state === 'pending' && !(isNic && text !== undefined))) continue;
    (isNic ? faults.underlay : faults.failures).push(`${key}: ${text ?? errno ?? 'failed'}`);
  }
  return faults;
}

/** The status of what was read, and of what went wrong beside the resources. */
export function nodeStatus(
  result: Pick<OpenperouterResult, 'resources' | 'problems'>,
  { failures = [], underlay = [] }: { failures?: readonly string[]; underlay?: readonly string[] } = {},
): RouterNodeStatus {
  const failed = result.resources.filter(({ state }) => state === 'failed');
  const unsupported = result.resources.filter(({ state }) => state === 'unsupported');
  const failedResources = [...failed, ...unsupported].map(failedResource);
  const [problem] = result.problems;
  const around = [...underlay, ...failures];
  if (failed.length === 0 && problem !== undefined) around.push(formatProblem(problem));
  const why = wordsFor(failed, around);
  const isUnderlay = underlay.length > 0 || failed.some(({ kind }) => kind === 'Underlay');
  const reason = isUnderlay ? 'UnderlayFailed' : 'ConfigurationFailed';
  const success = 'all that is configured is in force';
  const ready: RouterNodeCondition =
    why === undefined
      ? { type: 'Ready', status: 'True', reason: 'ConfigurationSuccessful', message: success }
      : { type: 'Ready', status: 'False', reason, message: why };
  if (why !== undefined)
    return { conditions: [ready, { ...ready, type: 'Degraded', status: 'True' }], failedResources };
  const degraded: RouterNodeCondition =
    unsupported.length === 0
      ? { ...ready, type: 'Degraded', status: 'False' }
      : {
          type: 'Degraded',
          status: 'True',
          reason: 'ConfigurationFailed',
          message: `not supported: ${namesOf(unsupported)}`,
        };
  return { conditions: [ready, degraded], failedResources };
}

function failedResource({ kind, name, reason, message, state }: ResourceReport): FailedResource {
  const usual = state === 'unsupported' ? unsupportedReasons[kind] : undefined;
  return { kind, name, reason: reason ?? usual ?? 'ValidationFailed', message: message ?? '' };
}

function wordsFor(failed: readonly ResourceReport[], failures: readonly string[]): string | undefined {
  const parts = failed.length === 0 ? [] : [`${failed.length} failed: ${namesOf(failed)}`];
  const all = [...parts, ...failures];
  return all.length === 0 ? undefined : all.join('; ');
}

function namesOf(reports: readonly ResourceReport[]): string {
  const names = [...new Set(reports.map(({ kind, name }) => `${kind}/${name}`))].sort();
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : '';
  return names.slice(0, NAMES_MAX).join(', ') + more;
}

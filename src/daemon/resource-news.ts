// How resources of OpenPERouter fare is told as it changes: each one that is refused once for each reason, and that all
// is well again. The cluster is told the whole of it, in OpenPERouter's own shape.

import type { NewEvent } from '../api/events.ts';
import type { OpenperouterResult } from '../intent/openperouter.ts';
import { formatProblem } from '../intent/tree.ts';
import { type KernelFaults, nodeStatus } from '../passthrough/openperouter-status.ts';

export class ResourceNews {
  readonly #event: (event: NewEvent) => void;
  readonly #report: (status: object) => void;
  readonly #faults: () => KernelFaults | undefined;
  #told = new Set<string>();
  #result: OpenperouterResult | undefined;

  /** `faults`: what of it is not in force in the kernel. */
  constructor(
    event: (event: NewEvent) => void,
    report: (status: object) => void,
    faults: () => KernelFaults | undefined = () => undefined,
  ) {
    this.#event = event;
    this.#report = report;
    this.#faults = faults;
  }

  /** After each configuration that was put in force. */
  look(result: OpenperouterResult | undefined): void {
    const wrong = result === undefined ? [] : wrongOf(result);
    for (const text of wrong)
      if (!this.#told.has(text)) this.#event({ level: 'warning', kind: 'resource-refused', text });
    if (wrong.length === 0 && this.#told.size > 0)
      this.#event({ level: 'info', kind: 'resources-fine', text: 'all resources are taken' });
    this.#told = new Set(wrong);
    this.#result = result;
    this.report();
  }

  /** The status of now: also when a NIC came, went or was taken back. */
  report(): void {
    if (this.#result !== undefined) this.#report(nodeStatus(this.#result, this.#faults()));
  }
}

/** A resource's message names the place of what is wrong; problems of no resource are told by themselves. */
function wrongOf({ resources, problems }: OpenperouterResult): string[] {
  const failed = resources.filter(({ state }) => state === 'failed' || state === 'unsupported');
  const lines = failed.map(({ kind, name, state, message }) => `${kind}/${name}: ${message ?? state}`);
  const others = problems.map(formatProblem).filter((line) => !lines.some((told) => told.includes(line)));
  return [...new Set([...lines, ...(failed.length === 0 ? others : [])])];
}

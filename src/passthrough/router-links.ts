// The links that leafd makes, brought to what is wanted: the veth to the host, macvlans and VLANs, `lo` up. Each pass
// reads both namespaces anew, because what a monitor knows is a moment old and would be written twice. A step may make
// another necessary (a link that was made has no addresses yet): a pass has a few rounds.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { PassthroughVethIntent, UplinkIntent } from '../intent/passthrough.ts';
import type { Link } from '../netlink/link.ts';
import type { Fault } from './fault.ts';
import {
  type BothSides,
  type LinkObject,
  type LinkStep,
  type LinkWish,
  linkNamed,
  settingStep,
} from './link-steps.ts';
import { introduceEnds, type LinkKernel, rememberAddresses, see, writeStep } from './link-write.ts';
import { strayUplinkSteps, uplinkSteps } from './uplink-desired.ts';
import { strayVethSteps, vethKey, vethSteps } from './veth-desired.ts';

const ROUNDS = 6;
const LO = 'link lo up';

export interface RouterLinksWish {
  veth?: PassthroughVethIntent;
  /** All of them: those that move give the veth its MTU. */
  uplinks: readonly UplinkIntent[];
  nodeIndex: number;
}

const NOTHING: BothSides = { home: { links: [], addresses: [] }, router: { links: [], addresses: [] } };

const NO_LINKS: RouterLinksWish = { uplinks: [], nodeIndex: 0 };

export class RouterLinks {
  readonly #kernel: LinkKernel;
  readonly #netns: string;
  #status: ObjectStatus[] = [];
  #inside: readonly Link[] = [];
  /** What the veth had when no uplink said otherwise: NICs that are away for a while change nothing. */
  #mtu: number | undefined;

  constructor(kernel: LinkKernel, netns: string) {
    this.#kernel = kernel;
    this.#netns = netns;
  }

  /** Brings the kernel there, as far as it goes; returns the keys of what was changed. Throws what a dump throws. */
  reconcile(wish: RouterLinksWish): string[] {
    const changed = new Set<string>();
    const faults = new Map<string, Fault>();
    let want: LinkWish = { objects: [], steps: [] };
    let seen = NOTHING;
    for (let round = 0; round < ROUNDS; round++) {
      seen = this.see();
      want = this.#want(wish, seen);
      const due = want.steps.filter(({ key, kind }) => kind !== 'pending' && !faults.has(key));
      if (due.length === 0) break;
      let done = 0;
      const unsaved = rememberAddresses(this.#kernel, due);
      for (const step of due) {
        const forgotten = step.kind === 'addressAdd' ? unsaved : undefined;
        const fault = faults.get(step.key) ?? forgotten ?? writeStep(this.#kernel, step);
        if (fault) faults.set(step.key, fault);
        else {
          changed.add(step.key);
          done++;
        }
      }
      if (done === 0) break;
    }
    this.#inside = seen.router.links;
    if (wish.veth) this.#introduce(wish.veth, seen, changed);
    this.#status = statusOf(want, faults);
    if (want.steps.length === 0) this.#forgetMaking();
    return [...changed];
  }

  /** Both namespaces, read now. */
  see(): BothSides {
    const { rtnl } = this.#kernel;
    const seen = { home: see(rtnl.home), router: see(rtnl.router) };
    // Its own loopback address tells whether this kernel marks addresses.
    this.#kernel.marks ||= [...seen.home.addresses, ...seen.router.addresses].some((a) => a.protocol !== 0);
    return seen;
  }

  /** The links of the router namespace, as the last pass saw them. */
  inside(): readonly Link[] {
    return this.#inside;
  }

  /** Removes the links that leafd made; returns how many went. */
  removeAll(): number {
    return this.reconcile(NO_LINKS).filter((key) => key !== LO).length;
  }

  status(): ObjectStatus[] {
    return this.#status;
  }

  /** After the veth or an address of it was away. */
  #introduce(veth: PassthroughVethIntent, seen: BothSides, changed: ReadonlySet<string>): void {
    const { hostLink, routerLink } = veth;
    const prefixes = [hostLink, routerLink].map((name) => `address ${name} `);
    const isOfVeth = (key: string): boolean =>
      key === vethKey(veth) || prefixes.some((prefix) => key.startsWith(prefix));
    if (![...changed].some(isOfVeth)) return;
    const [home, router] = [linkNamed(seen.home, hostLink), linkNamed(seen.router, routerLink)];
    if (home && router) introduceEnds(this.#kernel, veth, home, router);
  }

  /** Everything that is there has its mark. */
  #forgetMaking(): void {
    const { memory, save } = this.#kernel;
    if (memory.making.size === 0) return;
    memory.making.clear();
    try {
      save();
    } catch {
      // Saved with what comes next.
    }
  }

  #want(wish: RouterLinksWish, seen: BothSides): LinkWish {
    const { veth, uplinks, nodeIndex } = wish;
    const netns = this.#netns;
    const { memory } = this.#kernel;
    const objects: LinkObject[] = [{ key: LO, kind: 'link' }];
    const lo = linkNamed(seen.router, 'lo');
    const steps: LinkStep[] = lo === undefined ? [] : settingStep(LO, 'router', lo, {});
    steps.push(...strayVethSteps(veth, netns, seen), ...strayUplinkSteps(uplinks, seen));
    const wishes = uplinks
      .filter(({ mode }) => mode.kind !== 'move')
      .map((uplink) => uplinkSteps(uplink, netns, seen, memory));
    if (veth !== undefined) {
      this.#mtu = veth.mtu ?? smallestMtu(uplinks, seen.router.links) ?? this.#mtu;
      this.#mtu ??= linkNamed(seen.home, veth.hostLink)?.mtu;
      const mtu = this.#mtu;
      wishes.push(vethSteps({ veth, netns, nodeIndex, mtu }, seen, memory));
    }
    for (const one of wishes) {
      objects.push(...one.objects);
      steps.push(...one.steps);
    }
    return { objects, steps };
  }
}

/** Of the uplinks that are there. */
function smallestMtu(uplinks: readonly UplinkIntent[], links: readonly Link[]): number | undefined {
  const names = new Set(uplinks.map(({ name }) => name));
  const sizes = links.filter(({ name }) => names.has(name)).map(({ mtu }) => mtu);
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

function statusOf(want: LinkWish, faults: ReadonlyMap<string, Fault>): ObjectStatus[] {
  const waiting = new Map<string, string>();
  for (const step of want.steps)
    waiting.set(step.key, step.kind === 'pending' ? step.text : (waiting.get(step.key) ?? ''));
  const objects: LinkObject[] = [...want.objects];
  const known = new Set(objects.map(({ key }) => key));
  // What could not be removed is no object that is wanted, and is told all the same.
  for (const key of faults.keys()) if (!known.has(key)) objects.push({ key, kind: 'link' });
  return objects.map((object): ObjectStatus => {
    const fault = faults.get(object.key);
    if (fault) return { ...object, state: 'error', ...fault };
    const text = waiting.get(object.key);
    if (text === undefined) return { ...object, state: 'done' };
    return { ...object, state: 'pending', ...(text !== '' && { text }) };
  });
}

// Everything of one router namespace that is open: the namespace itself, sockets and monitors of both sides, NICs,
// links, sysctls, and the file that remembers. The plane has one while passthrough is on; a flush opens one for a
// moment. Giving back has an order: NICs first, because a namespace that ends destroys their addresses and routes;
// then links of ours; then sysctls of a namespace that stays; last the namespace.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { kernelRtnl, type Rtnl } from '../netlink/rtnl.ts';
import { faultOf } from './fault.ts';
import { forgetNoNics, type Kept, loadKept, saveKept } from './kept.ts';
import type { LinkKernel } from './link-write.ts';
import { RouterNamespace } from './namespace.ts';
import { NicMover } from './nic-mover.ts';
import type { NicPort, NicStatus, OpenNics, Side } from './nic-port.ts';
import { RouterLinks } from './router-links.ts';
import { RouterSysctls } from './router-sysctls.ts';
import { NO_TRIAL } from './trial.ts';

export interface RouterPartsOptions {
  stateDir: string;
  /** Name of the router namespace. */
  netns: string;
  /** For tests: the namespace that is the host's; absent: that of the process. */
  home?: string | undefined;
  /** For tests: who moves NICs. */
  nics?: OpenNics | undefined;
}

/** What was given back. */
export interface GivenBack {
  nics: number;
  links: number;
  namespaces: number;
  sysctls: number;
  /** What went wrong, and is worth another try. */
  failures: ObjectStatus[];
  /** Of others, in words, for which the namespace was left. */
  occupants: string[];
}

export class RouterParts {
  readonly kept: Kept;
  readonly namespace: RouterNamespace;
  readonly home: Side;
  readonly router: Side;
  readonly homeLinks: LinkMonitor;
  readonly routerLinks: LinkMonitor;
  readonly nics: NicPort;
  readonly links: RouterLinks;
  readonly sysctls: RouterSysctls;
  readonly #stateDir: string;
  readonly #closers: (() => void)[] = [];

  /** Makes or adopts the namespace. Throws LeafdError, SysError; then nothing is open. */
  constructor(options: RouterPartsOptions) {
    const { stateDir, netns, home } = options;
    this.#stateDir = stateDir;
    this.kept = loadKept(stateDir);
    try {
      const namespace = new RouterNamespace(netns, this.kept.namespace);
      this.namespace = namespace;
      this.#closers.push(() => namespace.close());
      if (!namespace.wasKept) this.#forgetFormer();
      this.kept.namespace = namespace.kept();
      this.save();
      this.home = this.#side(home);
      this.router = this.#side(namespace.path);
      this.homeLinks = this.#monitor(this.home.rtnl);
      this.routerLinks = this.#monitor(this.router.rtnl);
      this.nics = (options.nics ?? openNics)({ home: this.home, router: this.router, stateDir });
      const kernel: LinkKernel = {
        rtnl: { home: this.home.rtnl, router: this.router.rtnl },
        netnsFd: namespace.fd,
        memory: this.kept,
        marks: false,
        save: () => this.save(),
      };
      this.links = new RouterLinks(kernel, netns);
      // What is changed in a namespace of leafd's own ends with it.
      const saved = namespace.made ? undefined : this.kept.sysctls;
      this.sysctls = new RouterSysctls({ netns: namespace.path, saved, save: () => this.save() });
      const { sysctls } = this;
      this.#closers.push(() => sysctls.close());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Writes down what is to be remembered. Throws the file system's error. */
  save(): void {
    saveKept(this.#stateDir, this.kept);
  }

  /** Takes everything back, as far as it goes. `forget`: the trial too. */
  giveBack(options: { forget: boolean }): GivenBack {
    const given: GivenBack = { nics: 0, links: 0, namespaces: 0, sysctls: 0, failures: [], occupants: [] };
    try {
      this.#giveBack(given);
      // A trial that ends because everything goes home has not failed.
      if (options.forget || this.kept.trial.kind === 'running') this.kept.trial = NO_TRIAL;
      this.save();
    } catch (error) {
      const key = `namespace ${this.namespace.name}`;
      given.failures.push({ key, kind: 'namespace', state: 'error', ...faultOf(error) });
    }
    return given;
  }

  #giveBack(given: GivenBack): void {
    const { nics, links, sysctls, namespace, kept } = this;
    const inside = (list: readonly NicStatus[]): number =>
      list.filter((nic) => nic.place === 'router').length;
    const before = inside(nics.status());
    const left = nics.reconcile([]);
    given.nics = Math.max(0, before - inside(left));
    given.failures.push(...left.flatMap(nicFailure));
    given.links = links.removeAll();
    given.failures.push(...links.status().filter(({ state }) => state === 'error'));
    given.sysctls = sysctls.restore();
    if (given.failures.length === 0) {
      if (namespace.made) given.occupants = namespace.occupants(links.see().router.links);
      if (namespace.made && given.occupants.length === 0 && namespace.remove()) given.namespaces = 1;
      // One that is left because of others stays leafd's: it may be removed by the next life.
      if (given.occupants.length === 0) kept.namespace = undefined;
      forgetNoNics(this.#stateDir);
      kept.making.clear();
      kept.addresses.clear();
    }
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    for (const close of this.#closers.splice(0).reverse()) close();
  }

  /** What was remembered was of another namespace, which has ended. */
  #forgetFormer(): void {
    this.kept.sysctls.clear();
    this.kept.addresses.clear();
    this.kept.making.clear();
  }

  #side(netns: string | undefined): Side {
    const rtnl = kernelRtnl(netns);
    this.#closers.push(() => rtnl.close());
    return { rtnl, netns };
  }

  #monitor(rtnl: Rtnl): LinkMonitor {
    const monitor = new LinkMonitor(rtnl);
    this.#closers.push(() => monitor.close());
    return monitor;
  }
}

/** A NIC that is not where it is to be, or not as it was. */
function nicFailure(nic: NicStatus): ObjectStatus[] {
  if (nic.state !== 'error') return [];
  return [nicObject(nic)];
}

export function nicObject({ name, state, errno, text }: NicStatus): ObjectStatus {
  return {
    key: `nic ${name}`,
    kind: 'nic',
    state,
    ...(errno !== undefined && { errno }),
    ...(text !== undefined && { text }),
  };
}

const openNics: OpenNics = (options) => new NicMover(options);

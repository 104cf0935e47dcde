// The kernel's part of guests as one thing: bridges and taps with the gateway (guest-links.ts), permanent neighbours
// (guest-neighbours.ts), filters (guest-filter.ts), frames heard and sent. A port's neighbours come before its filter,
// so that the first packet let through can be answered. Routes are not here: they go through the rib.

import type { LinkMonitor } from '../netlink/monitor.ts';
import { openPacketSender, type PacketSender } from '../netlink/packet-sender.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import type { ObjectStatus, SysctlView } from './dataplane.ts';
import { GuestFilter } from './guest-filter.ts';
import { flushGuestLinks, type GatewayLink, GuestLinks } from './guest-links.ts';
import { flushGuestNeighbours, GuestNeighbours } from './guest-neighbours.ts';
import type { GuestLinksFlushed } from './guest-restore.ts';
import { loadGuestState } from './guest-state.ts';
import type { GuestDrop, GuestPlaneIntent, GuestPortWish } from './guest-wish.ts';
import { kernelSysctls, type SysctlPort } from './sysctl.ts';

export interface GuestPlaneOptions {
  rtnl: Rtnl;
  links: LinkMonitor;
  /** Directory of the state file. */
  stateDir: string;
  netns?: string;
  /** For tests. */
  sysctls?: SysctlPort;
  /** For tests: the filter, made anew each time guests are switched on. */
  filter?: () => GuestFilterPort;
  onDrop?: (drop: GuestDrop) => void;
  /** A frame that tells who is behind a port: bytes[0, length), used again. */
  onHeard?: (ifindex: number, bytes: Uint8Array, length: number) => void;
  /** Told after changes what went wrong: everything that is wrong now. */
  onChange?: (failures: readonly ObjectStatus[]) => void;
}

/** What is asked of the filter. */
export type GuestFilterPort = Pick<
  GuestFilter,
  | 'setIntent'
  | 'setPorts'
  | 'removePorts'
  | 'sweep'
  | 'reconcile'
  | 'status'
  | 'failures'
  | 'drops'
  | 'unheard'
  | 'close'
  | 'flush'
>;

export interface GuestFlushReport extends GuestLinksFlushed {
  neighbours: number;
}

export class GuestPlane {
  readonly #options: GuestPlaneOptions;
  readonly #links: GuestLinks;
  /** From the first intent on: without guests nobody listens to what the kernel tells of neighbours. */
  #neighbours: GuestNeighbours | undefined;
  #filter: GuestFilterPort | undefined;
  #sender: PacketSender | undefined;
  #intent: GuestPlaneIntent | undefined;
  /** The filter knows the intent and the gateway links that are there. */
  #filterTold = false;
  /** Links that others have made ready for their guests. */
  #guarded: readonly GatewayLink[] = [];
  #told = false;

  /** Changes nothing before the first `setIntent`. Throws LeafdError when the state file is damaged. */
  constructor(options: GuestPlaneOptions) {
    this.#options = options;
    this.#links = new GuestLinks({
      ...options,
      onChange: () => this.#changed(),
      onGateways: (gateways) => this.#tellFilter(gateways),
    });
  }

  /**
   * Sets what is wanted of bridges, taps and the shared filters; undefined: no guests, everything is taken back.
   * Throws SysError or NetlinkError when the kernel does not tell its neighbours.
   */
  setIntent(intent: GuestPlaneIntent | undefined): void {
    this.#intent = intent;
    if (!intent) {
      // A former life may have had guests; a machine that never had is not looked at.
      if (this.#filter || this.#links.changedAnything()) this.#end();
      return;
    }
    this.#neighbours ??= new GuestNeighbours(this.#options.rtnl, () => this.#changed());
    this.#filter ??= this.#newFilter();
    this.#filterTold = false;
    // The filter hears of new gateway links before they get their addresses.
    this.#links.setIntent(intent);
    if (!this.#filterTold) this.#tellFilter(this.#links.gateways());
    this.#changed();
  }

  /** Changed or new ports, whole: neighbours, then filter; in the kernel on return (`status` tells what failed). */
  setPorts(wishes: readonly GuestPortWish[]): void {
    if (wishes.length === 0) return;
    this.#neighbours?.setPorts(wishes);
    this.#filter?.setPorts(wishes);
    this.#changed();
  }

  removePorts(ifindexes: readonly number[]): void {
    if (ifindexes.length === 0) return;
    this.#neighbours?.removePorts(ifindexes);
    this.#filter?.removePorts(ifindexes);
    this.#changed();
  }

  /** Also behind these links guests reach of this machine only what they may. Nothing else is done to the links. */
  guard(links: readonly GatewayLink[]): void {
    this.#guarded = links;
    this.#tellFilter(this.#links.gateways());
  }

  /** After the first wishes of a new life: removes what a former one left and nobody wished. */
  sweep(): void {
    this.#neighbours?.sweep();
    this.#filter?.sweep();
  }

  /**
   * Sends bytes[0, length), a whole frame, to the guest behind a port; false where it could not be. Throws SysError
   * where this process may not send frames at all.
   */
  send(ifindex: number, bytes: Uint8Array, length: number): boolean {
    this.#sender ??= openPacketSender(this.#options.netns);
    return this.#sender.send(ifindex, bytes, length);
  }

  status(): ObjectStatus[] {
    return [
      ...this.#links.status(),
      ...(this.#neighbours?.status() ?? []),
      ...(this.#filter?.status() ?? []),
    ];
  }

  /** What of `status` went wrong, without the rest, which may be tens of thousands. */
  failures(): ObjectStatus[] {
    return [
      ...this.#links.failures(),
      ...(this.#neighbours?.failures() ?? []),
      ...(this.#filter?.failures() ?? []),
    ];
  }

  /** The sysctls that leafd has changed for the guests. */
  sysctls(): SysctlView[] {
    return this.#links.sysctls();
  }

  /** Packets dropped by reason, by the port's ifindex. */
  drops(): Map<number, Readonly<Record<string, number>>> {
    return this.#filter?.drops() ?? new Map();
  }

  /** How often frames of guests were lost, because more came than were read. */
  unheard(): number {
    return this.#filter?.unheard ?? 0;
  }

  /** Looks at everything, as is done every 30 s and after events. */
  reconcile(): void {
    this.#links.reconcile();
    this.#neighbours?.check();
    this.#filter?.reconcile();
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#links.close();
    this.#neighbours?.close();
    this.#filter?.close();
    this.#sender?.close();
    this.#sender = undefined;
  }

  /** Ends, and removes everything that is ours. */
  flush(): GuestFlushReport {
    const neighbours = this.#neighbours?.flush() ?? flushGuestNeighbours(this.#options.rtnl);
    const filter = this.#filter ?? this.#newFilter();
    filter.flush();
    filter.close();
    return { ...this.#links.flush(), neighbours };
  }

  #end(): void {
    const { rtnl } = this.#options;
    if (this.#neighbours) this.#neighbours.flush();
    else flushGuestNeighbours(rtnl);
    const filter = this.#filter ?? this.#newFilter();
    filter.flush();
    filter.close();
    this.#neighbours = undefined;
    this.#filter = undefined;
    this.#links.setIntent(undefined);
    this.#changed();
  }

  #newFilter(): GuestFilterPort {
    const { netns, onDrop, onHeard, filter } = this.#options;
    if (filter) return filter();
    return new GuestFilter({
      ...(netns !== undefined && { netns }),
      ...(onDrop && { onDrop }),
      ...(onHeard && { onHeard }),
    });
  }

  #tellFilter(gateways: readonly GatewayLink[]): void {
    if (!this.#intent || !this.#filter) return;
    this.#filterTold = true;
    this.#filter.setIntent(this.#intent, [...gateways, ...this.#guarded]);
  }

  /** Once a turn. */
  #changed(): void {
    const { onChange } = this.#options;
    if (!onChange || this.#told) return;
    this.#told = true;
    setImmediate(() => {
      this.#told = false;
      onChange(this.failures());
    });
  }
}

/** Removes everything of the guests from a namespace, without a running daemon. */
export function flushGuests(options: {
  rtnl: Rtnl;
  links: LinkMonitor;
  stateDir: string;
  netns?: string;
}): GuestFlushReport {
  const { rtnl, links, stateDir, netns } = options;
  const neighbours = flushGuestNeighbours(rtnl);
  const filter = new GuestFilter({ ...(netns !== undefined && { netns }) });
  filter.flush();
  filter.close();
  const kernel = { rtnl, links, sysctls: kernelSysctls(netns), state: loadGuestState(stateDir) };
  return { ...flushGuestLinks(kernel, stateDir), neighbours };
}

// Takes the fabric's NICs into the router namespace and home again. What a NIC was is on disk before anything is
// changed, and each step can be taken again: after a crash at any point `reconcile` goes on where the last life
// stopped, because it decides from the record and from where the NIC is found (nic-plan.ts), not from what was meant
// to come next. The record goes last, when the NIC is home with all it had. Without a record on disk no NIC is moved.
//
// The kernel gives a physical NIC back by itself when its namespace ends, bare: then its record is what brings its
// addresses back. Traffic control, filters and settings of a port of a bridge are not kept: the kernel drops them.

import { join } from 'node:path';
import { readStateFile } from '../dataplane/sysctl.ts';
import { writeWhole } from '../lib/atomic-file-real.ts';
import type { Link } from '../netlink/link.ts';
import { encodeLinkMove } from '../netlink/link-create.ts';
import type { Fault } from './fault.ts';
import { bootId } from './namespace.ts';
import { capture, type HomeRestoreStep, putRemainders, restoreHome } from './nic-home.ts';
import { adopt, settleInside } from './nic-inside.ts';
import { NicKernel } from './nic-kernel.ts';
import { locate, moveText, type Place, stepHome, stepIn } from './nic-plan.ts';
import type { NicPort, NicStatus, Side } from './nic-port.ts';
import {
  decodeRecords,
  encodeRecords,
  MOVED_GROUP,
  NIC_RECORDS_FILE,
  NIC_RECORDS_SCHEMA,
  type NicRecord,
  type NicRecords,
  realAddresses,
} from './nic-record.ts';

export type { NicStatus, Side } from './nic-port.ts';

/** What has just been done; a crash may follow any of them. */
export type NicStep =
  | 'saved'
  | 'marked'
  | 'moved'
  | 'up'
  | 'addresses'
  | 'remainders'
  | 'done'
  | 'movedHome'
  | HomeRestoreStep
  | 'unmarked'
  | 'forgotten';

export interface NicMoverOptions {
  home: Side;
  router: Side;
  stateDir: string;
  onStep?: (step: NicStep, name: string) => void;
  /** Wall clock. */
  nowMs?: () => number;
}

interface Verdict {
  place: NicStatus['place'];
  state: NicStatus['state'];
  errno?: string;
  text?: string;
}

export class NicMover implements NicPort {
  readonly #options: NicMoverOptions;
  readonly #home: NicKernel;
  readonly #router: NicKernel;
  readonly #path: string;
  #records: NicRecords | undefined;
  #status: NicStatus[] | undefined;

  constructor(options: NicMoverOptions) {
    this.#options = options;
    this.#home = new NicKernel(options.home);
    this.#router = new NicKernel(options.router);
    this.#path = join(options.stateDir, NIC_RECORDS_FILE);
  }

  /**
   * The NICs wanted in the router namespace; every other NIC with a record goes home. Synchronous, idempotent, reads
   * before it writes; never throws for a single NIC. Also gives a NIC inside back what it has lost. `mtus`: of NICs
   * that shall have another than their own inside.
   */
  reconcile(wanted: readonly string[], mtus?: ReadonlyMap<string, number>): NicStatus[] {
    const names = [...new Set(wanted)];
    const failed = this.#load();
    if (failed !== undefined) return (this.#status = names.map((name) => this.#statusOf(name, failed)));
    const going = [...this.#records!.keys()].filter((name) => !names.includes(name));
    const found = [
      ...going.map((name) => this.#careful(name, () => this.#sendHome(name))),
      ...names.map((name) => this.#careful(name, () => this.#takeIn(name, mtus?.get(name)))),
    ];
    this.#status = found;
    return found;
  }

  /** As of the last `reconcile`; before the first, what there is of NICs with a record. */
  status(): NicStatus[] {
    if (this.#status !== undefined) return this.#status;
    if (this.#load() !== undefined) return [];
    return [...this.#records!.keys()].map((name) =>
      this.#careful(name, () => ({ place: this.#locate(name).kind, state: 'pending' })),
    );
  }

  /** Whether a NIC of `wanted` is not inside yet (a first move is ahead). */
  wouldMove(wanted: readonly string[]): boolean {
    if (this.#load() !== undefined) return false;
    return wanted.some((name) => this.#locate(name).kind === 'home');
  }

  #careful(name: string, act: () => Verdict): NicStatus {
    try {
      return this.#statusOf(name, act());
    } catch (error) {
      return this.#statusOf(name, { place: this.#placeOf(name), ...faultVerdict(error) });
    }
  }

  #statusOf(name: string, verdict: Verdict): NicStatus {
    const record = this.#records?.get(name);
    return {
      name,
      ...verdict,
      ...(record?.movedAt !== undefined && { movedAt: record.movedAt }),
      saved: record && { addresses: record.addresses.length, routes: record.routes.length },
    };
  }

  #locate(name: string): Place {
    return locate(name, this.#records!.get(name), this.#home.links(), this.#router.links());
  }

  #placeOf(name: string): NicStatus['place'] {
    try {
      return this.#locate(name).kind;
    } catch {
      return 'absent';
    }
  }

  // Inwards.

  #takeIn(name: string, mtu: number | undefined): Verdict {
    const record = this.#records!.get(name);
    const home = this.#home.links();
    const place = locate(name, record, home, this.#router.links());
    const addresses = this.#home.addresses();
    const step = stepIn(place, record, home, (ifindex) => realAddresses(addresses.get(ifindex)));
    if (step.kind === 'wait') return { place: 'absent', state: 'pending', text: 'there is no such NIC yet' };
    if (step.kind === 'refuse') return { place: 'home', state: 'error', errno: 'EBUSY', text: step.text };
    if (step.kind === 'move') {
      const refused = this.#moveIn(name, step.link, step.fresh);
      if (refused) return { place: 'home', state: 'error', ...refused };
    } else if (step.adopt) this.#keep(adopt(this.#router, name, step.link, bootId(), this.#now()));
    return this.#settle(name, mtu);
  }

  #moveIn(name: string, link: Link, fresh: boolean): Fault | undefined {
    const record = fresh ? this.#capture(name, link) : this.#records!.get(name)!;
    if ('errno' in record) return record;
    const { movedAt: _, ...onItsWay } = record;
    this.#keep(onItsWay);
    this.#step('saved', name);
    const { ifindex } = link;
    const unmarked =
      link.group === MOVED_GROUP ? undefined : this.#home.setLink({ ifindex, group: MOVED_GROUP });
    if (unmarked) return unmarked;
    this.#step('marked', name);
    const fault = moveLink(this.#home, ifindex, this.#router);
    if (fault) {
      if (fresh) this.#letGo(record, link);
      return { errno: fault.errno, text: moveText(fault.errno, fault.text, link.name, ROUTER_TEXT) };
    }
    this.#step('moved', name);
    return undefined;
  }

  #capture(name: string, link: Link): NicRecord | Fault {
    const others = [...this.#records!.values()].filter((record) => record.name !== name);
    const routes = others.flatMap((record) => record.routes);
    return capture(this.#home, name, link, routes, { bootId: bootId(), now: this.#now() });
  }

  // It did not move, so it is as it was but for the mark.
  #letGo(record: NicRecord, link: Link): void {
    this.#home.setLink({ ifindex: link.ifindex, group: record.group });
    this.#forget(record.name);
  }

  #settle(name: string, mtu: number | undefined): Verdict {
    const record = this.#records!.get(name)!;
    const link = this.#linkAt(name, 'router');
    if (link === undefined) return { place: 'absent', state: 'pending', text: 'it went while it was moved' };
    const { fault } = settleInside(this.#router, record, link, mtu ?? record.mtu, (step) =>
      this.#step(step, name),
    );
    if (fault) return { place: 'router', state: 'error', ...fault };
    if (record.movedAt !== undefined) return { place: 'router', state: 'done' };
    const problems = putRemainders(this.#home, record);
    this.#step('remainders', name);
    this.#keep({ ...record, movedAt: this.#now() });
    this.#step('done', name);
    return { place: 'router', state: 'done', ...(problems.length > 0 && { text: problems.join('. ') }) };
  }

  // Homewards.

  #sendHome(name: string): Verdict {
    const record = this.#records!.get(name)!;
    const addresses = this.#home.addresses();
    const count = (ifindex: number): number => realAddresses(addresses.get(ifindex));
    const step = stepHome(this.#locate(name), record, bootId(), count);
    if (step.kind === 'wait')
      return {
        place: 'absent',
        state: 'pending',
        text: 'it is in neither namespace; its addresses are kept',
      };
    if (step.kind === 'forget') return this.#goneHome(name, []);
    if (step.kind === 'fetch') {
      const fault = this.#fetch(record, step.link);
      if (fault) return { place: 'router', state: 'error', ...fault };
    }
    return this.#restore(record);
  }

  #fetch(record: NicRecord, link: Link): Fault | undefined {
    // The mark tells at home that it is not yet what it was.
    const { ifindex } = link;
    const unmarked =
      link.group === MOVED_GROUP ? undefined : this.#router.setLink({ ifindex, group: MOVED_GROUP });
    const fault = unmarked ?? moveLink(this.#router, ifindex, this.#home);
    if (fault) return { errno: fault.errno, text: moveText(fault.errno, fault.text, link.name, HOME_TEXT) };
    this.#step('movedHome', record.name);
    return undefined;
  }

  #restore(record: NicRecord): Verdict {
    const { name } = record;
    const link = this.#linkAt(name, 'home');
    if (link === undefined) return { place: 'absent', state: 'pending', text: 'it went while it was moved' };
    const isAway = (other: string): boolean => this.#records!.has(other);
    const { fault, problems } = restoreHome(this.#home, record, link, isAway, (step) =>
      this.#step(step, name),
    );
    if (fault) return { place: 'home', state: 'error', ...fault };
    const marked = this.#home.setLink({ ifindex: link.ifindex, group: record.group });
    if (marked) return { place: 'home', state: 'error', ...marked };
    this.#step('unmarked', name);
    return this.#goneHome(name, problems);
  }

  #goneHome(name: string, problems: readonly string[]): Verdict {
    this.#forget(name);
    this.#step('forgotten', name);
    return { place: 'home', state: 'done', ...(problems.length > 0 && { text: problems.join('. ') }) };
  }

  #linkAt(name: string, kind: 'home' | 'router'): Link | undefined {
    const place = this.#locate(name);
    return place.kind === kind ? place.link : undefined;
  }

  // The file.

  #load(): Verdict | undefined {
    if (this.#records !== undefined) return undefined;
    try {
      const none: NicRecords = new Map();
      this.#records = readStateFile(this.#path, NIC_RECORDS_SCHEMA, none, decodeRecords);
      return undefined;
    } catch (error) {
      return { place: 'absent', ...faultVerdict(error) };
    }
  }

  /** Throws where it cannot be written; then what is remembered is what the file says. */
  #keep(record: NicRecord): void {
    this.#write(new Map(this.#records!).set(record.name, record));
  }

  #forget(name: string): void {
    const records = new Map(this.#records!);
    records.delete(name);
    this.#write(records);
  }

  #write(records: NicRecords): void {
    try {
      writeWhole(this.#path, encodeRecords(records), 0o600);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw Object.assign(new Error(`cannot write down what it is: ${message}`), { code });
    }
    this.#records = records;
  }

  #step(step: NicStep, name: string): void {
    this.#options.onStep?.(step, name);
  }

  #now(): string {
    return new Date(this.#options.nowMs?.() ?? Date.now()).toISOString();
  }
}

const ROUTER_TEXT = 'the router namespace';
const HOME_TEXT = 'the host';

function moveLink(from: NicKernel, ifindex: number, to: NicKernel): Fault | undefined {
  return to.withFd(
    (netnsFd) =>
      from.write([ifindex], (writer, seq, index) => encodeLinkMove(writer, seq, index, netnsFd))[0]?.fault,
  );
}

function faultVerdict(error: unknown): { state: 'error'; errno?: string; text: string } {
  const { code, message } = error as { code?: string; message: string };
  return { state: 'error', ...(code !== undefined && { errno: code }), text: message };
}

// What the filter of guests logs: packets that it dropped, and whole frames that tell who is behind a port
// (docs/decisions/0018-guests-are-heard-by-the-log.md). The kernel has one listener a group; who is refused tries
// again, for a leafd that ends may have a log a moment longer.

import { listenFrames, listenNflog } from '../netlink/nflog.ts';
import { LINK_REASONS, NFLOG_GROUP, PORT_REASONS } from './guest-rules.ts';
import { HEARD_GROUP } from './guest-rules-hear.ts';
import type { GuestDrop } from './guest-wish.ts';

const LISTEN_AGAIN_MS = 1000;
/** Others may log to the group too. */
const REASONS = new Set<string>([...PORT_REASONS, ...LINK_REASONS]);

export type FilterLog = 'filter log' | 'filter hearing';

export interface GuestFilterLogsOptions {
  netns?: string;
  onDrop?: (drop: GuestDrop) => void;
  /** A frame that tells who is behind a port, before the filter judges it: bytes[0, length), used again. */
  onHeard?: (ifindex: number, bytes: Uint8Array, length: number) => void;
}

type OnTried = (log: FilterLog, error: unknown) => void;

export class GuestFilterLogs {
  readonly #options: GuestFilterLogsOptions;
  readonly #onTried: OnTried;
  readonly #listening = new Map<FilterLog, { close(): void }>();
  #again: NodeJS.Timeout | undefined;
  #unheard = 0;

  /** `onTried` is told of each try to listen, with what was thrown or undefined. */
  constructor(options: GuestFilterLogsOptions, onTried: OnTried) {
    this.#options = options;
    this.#onTried = onTried;
  }

  /** Listens to what somebody wants to hear and nobody listens to yet; goes on trying. */
  open(): void {
    const { netns, onDrop, onHeard } = this.#options;
    if (onDrop !== undefined)
      this.#try('filter log', () =>
        listenNflog({
          netns,
          group: NFLOG_GROUP,
          onPacket: ({ prefix, ifindex, mac, packet }) => {
            if (REASONS.has(prefix))
              onDrop({ ifindex, reason: prefix, packet, ...(mac !== undefined && { mac }) });
          },
        }),
      );
    if (onHeard !== undefined)
      this.#try('filter hearing', () =>
        listenFrames({ netns, group: HEARD_GROUP, onFrame: onHeard, onLost: () => this.#unheard++ }),
      );
  }

  /** How often frames were lost, because more came than were read. */
  get unheard(): number {
    return this.#unheard;
  }

  close(): void {
    clearTimeout(this.#again);
    for (const listener of this.#listening.values()) listener.close();
    this.#listening.clear();
  }

  #try(log: FilterLog, listen: () => { close(): void }): void {
    if (this.#listening.has(log)) return;
    let failure: unknown;
    try {
      this.#listening.set(log, listen());
    } catch (error) {
      failure = error;
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.open(), LISTEN_AGAIN_MS);
      this.#again.unref();
    }
    this.#onTried(log, failure);
  }
}

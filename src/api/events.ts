// The ring of recent events: publishers append, readers ask for what came after an id, subscribers are called. It is
// bounded, so a reader that comes too late is told how many events it missed instead of being given a gap unseen.
// A subscriber that throws must not hurt the publisher, who may be in the middle of a session's work.

import type { EventView } from './views.ts';

/** An event before it has its number and time. */
export type NewEvent = Omit<EventView, 'id' | 'at'>;

/** All that publishers see. */
export interface EventPublisher {
  publish(event: NewEvent): void;
}

export type EventListener = (event: EventView) => void;

export class EventRing implements EventPublisher {
  private readonly slots: (EventView | undefined)[];
  private readonly wallClock: () => number;
  private readonly listeners = new Set<EventListener>();
  private lastId = 0;

  /** `wallClock` gives milliseconds since 1970. */
  constructor(wallClock: () => number, capacity = 4096) {
    this.wallClock = wallClock;
    this.slots = new Array<EventView | undefined>(capacity).fill(undefined);
  }

  /** Appends an event; never throws. */
  publish(event: NewEvent): void {
    const at = new Date(this.wallClock()).toISOString();
    const stored: EventView = { id: ++this.lastId, at, ...event };
    this.slots[stored.id % this.slots.length] = stored;
    for (const listener of [...this.listeners]) {
      try {
        listener(stored);
      } catch {
        this.listeners.delete(listener);
      }
    }
  }

  /** The id of the newest event; 0 before the first. */
  get last(): number {
    return this.lastId;
  }

  /** Events after `id`, oldest first, at most `limit`; `lost` counts those after `id` that are no longer kept. */
  since(id: number, limit = Number.POSITIVE_INFINITY): { events: EventView[]; lost: number } {
    // An id from an earlier life of the daemon is higher than ours: everything kept is new to that reader.
    const after = id > this.lastId ? 0 : id;
    const first = Math.max(after + 1, this.lastId - this.slots.length + 1);
    const events: EventView[] = [];
    for (let next = first; next <= this.lastId && events.length < limit; next++)
      events.push(this.slots[next % this.slots.length]!);
    return { events, lost: first - after - 1 };
  }

  /** Calls `listener` for every event from now on; returns what ends it. */
  subscribe(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  get subscribers(): number {
    return this.listeners.size;
  }
}

// What one call of `Rib.decide` changed: parallel arrays that the router walks and that the next call uses again.

/** Bits of `flags`: the best path or its attributes changed; the set of next hops changed. */
export const CHANGE_BEST = 1;
export const CHANGE_FORWARDING = 2;
/** Neither, but somebody watches all paths (`Rib.watchPaths`), and one of them may have changed. */
export const CHANGE_PATHS = 4;

export class ChangeList {
  count = 0;
  ids = new Int32Array(1024);
  flags = new Uint8Array(1024);
  /** Set ids (next-hop-sets.ts) before and after; both live until the next call of `decide`. */
  oldSetIds = new Uint32Array(1024);
  newSetIds = new Uint32Array(1024);

  /** Makes room for `count` changes; the list is empty. */
  reserve(count: number): void {
    if (count <= this.ids.length) return;
    const capacity = Math.max(count, this.ids.length * 2);
    this.ids = new Int32Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.oldSetIds = new Uint32Array(capacity);
    this.newSetIds = new Uint32Array(capacity);
  }
}

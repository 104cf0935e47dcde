// The metrics (RTA_PRIORITY) of the routes of one family. To the kernel the metric is part of a route's name, in IPv4
// and in IPv6: a route with another metric is another route, and the one with the lowest is followed. So a change
// of metric is two messages: the new route is added, and once the kernel has it the old one, `left` until then, is
// deleted. Pure. Costs nothing while all routes have the table's metric, and 12 B a route from the first other one.

interface Columns {
  wanted: Uint32Array;
  has: Uint32Array;
  left: Uint32Array;
}

export class RouteMetrics {
  /** Of routes of which nothing else is said. */
  readonly base: number;
  #capacity: number;
  #columns: Columns | undefined;

  constructor(base: number, capacity: number) {
    this.base = base;
    this.#capacity = capacity;
  }

  /** What the route is to have. */
  wanted(id: number): number {
    return this.#columns === undefined ? this.base : this.#columns.wanted[id]!;
  }

  /** What the route of ours that is in the kernel has; means nothing where there is none. */
  has(id: number): number {
    return this.#columns === undefined ? this.base : this.#columns.has[id]!;
  }

  /** The metric of a second route of ours for the prefix, which has to go; 0: there is none. */
  left(id: number): number {
    return this.#columns === undefined ? 0 : this.#columns.left[id]!;
  }

  setWanted(id: number, metric: number): void {
    if (metric !== this.wanted(id)) this.#made().wanted[id] = metric;
  }

  setHas(id: number, metric: number): void {
    if (metric !== this.has(id)) this.#made().has[id] = metric;
  }

  setLeft(id: number, metric: number): void {
    if (metric !== this.left(id)) this.#made().left[id] = metric;
  }

  /** The id is given back. */
  clear(id: number): void {
    if (this.#columns === undefined) return;
    this.#columns.wanted[id] = this.base;
    this.#columns.has[id] = this.base;
    this.#columns.left[id] = 0;
  }

  grow(capacity: number): void {
    this.#capacity = capacity;
    if (this.#columns === undefined) return;
    const { wanted, has, left } = this.#columns;
    this.#columns = undefined;
    const grown = this.#made();
    grown.wanted.set(wanted);
    grown.has.set(has);
    grown.left.set(left);
  }

  #made(): Columns {
    const filled = (value: number): Uint32Array => new Uint32Array(this.#capacity).fill(value);
    this.#columns ??= { wanted: filled(this.base), has: filled(this.base), left: filled(0) };
    return this.#columns;
  }
}

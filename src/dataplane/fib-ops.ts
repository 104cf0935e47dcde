// What one buffer of messages to the kernel is about, message by message, so that the answer (sequence number
// and errno) finds its route or nexthop object again. Pure. Columns, reused from buffer to buffer.

export const ROUTE_PUT = 1;
export const ROUTE_DELETE = 2;
export const OBJECT_PUT = 3;
export const OBJECT_DELETE = 4;

/** Messages in a buffer at most: beyond, only the time blocked in one send(2) grows. */
export const MESSAGES_PER_BUFFER = 1000;

export class OpList {
  count = 0;
  readonly kind = new Uint8Array(MESSAGES_PER_BUFFER);
  /** Index of the table (family) of a route. */
  readonly family = new Uint8Array(MESSAGES_PER_BUFFER);
  /** Prefix id of a route, slot of an object. */
  readonly id = new Int32Array(MESSAGES_PER_BUFFER);
  /** Slot of the object a route is pointed at. */
  readonly target = new Int32Array(MESSAGES_PER_BUFFER);
  /** Epoch of the object when the message was written. */
  readonly epoch = new Int32Array(MESSAGES_PER_BUFFER);
  /** Metric of a route. */
  readonly metric = new Uint32Array(MESSAGES_PER_BUFFER);

  get full(): boolean {
    return this.count === MESSAGES_PER_BUFFER;
  }

  push(kind: number, family: number, id: number, target: number, epoch: number, metric = 0): void {
    const i = this.count++;
    this.kind[i] = kind;
    this.family[i] = family;
    this.id[i] = id;
    this.target[i] = target;
    this.epoch[i] = epoch;
    this.metric[i] = metric;
  }
}

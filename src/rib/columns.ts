// Growing the typed arrays that hold the routes. New space is zero, so every column in this room takes 0 for
// "none" where it can: the kernel gives untouched pages of a large array no memory, and growing by four costs
// little more resident memory than growing by two while it leaves a third of the dead copies behind.

/** The capacity to grow to, so that `need` elements fit. */
export function grownCapacity(capacity: number, need: number): number {
  let grown = Math.max(capacity, 64);
  while (grown < need) grown *= grown < 1 << 20 ? 4 : 2;
  return grown;
}

/** A copy of the column with room for `capacity` elements; new ones are zero. */
export function growU32(column: Uint32Array, capacity: number): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(capacity);
  grown.set(column);
  return grown;
}

/** As growU32. */
export function growI32(column: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(capacity);
  grown.set(column);
  return grown;
}

/** As growU32. */
export function growU16(column: Uint16Array, capacity: number): Uint16Array<ArrayBuffer> {
  const grown = new Uint16Array(capacity);
  grown.set(column);
  return grown;
}

/** As growU32. */
export function growU8(column: Uint8Array, capacity: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(capacity);
  grown.set(column);
  return grown;
}

// Growing the typed arrays that hold the routes. New space is zero, so every column in this room takes 0 for
// "none": the kernel gives the untouched pages of a large array no memory. What costs is copying what was there
// and touching the copy, so columns grow by four while they are small, and from a medium size to a whole table at
// once. A host with ten routes has small columns, a router with a million copies little on its way there.

const MEDIUM = 1 << 16;
const WHOLE_TABLE = 1 << 20;

/** The capacity to grow to, so that `need` elements fit. */
export function grownCapacity(capacity: number, need: number): number {
  let grown = Math.max(capacity, 64);
  while (grown < need) {
    if (grown < MEDIUM) grown *= 4;
    else grown = grown < WHOLE_TABLE ? WHOLE_TABLE : grown * 2;
  }
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

// Size classes of blocks that are used again: four sizes a doubling, in steps of 8 bytes at first. Whoever chooses the
// sizes wastes a few times their bytes at most, not one block for each of thousands of sizes.

/** Classes of blocks of up to 65535 bytes. */
export const SIZE_CLASSES = 48;

/** The class of a block that holds `length` bytes. */
export function sizeClassOf(length: number): number {
  const last = Math.max(0, ((length + 7) >>> 3) - 1);
  if (last < 4) return last;
  const shift = 29 - Math.clz32(last);
  return (shift << 2) + (last >>> shift);
}

/** Bytes of a block of the class. */
export function blockBytes(sizeClass: number): number {
  if (sizeClass < 4) return (sizeClass + 1) * 8;
  const shift = (sizeClass >>> 2) - 1;
  return (((sizeClass & 3) + 5) << shift) * 8;
}

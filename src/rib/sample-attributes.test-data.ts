// Canonical attribute bytes for the tests of this room, written out by hand so that the tests do not lean on
// the wire room's encoder.

export interface SampleAttributes {
  /** A number is an AS of an AS_SEQUENCE; a list is an AS_SET; `confed` an AS_CONFED_SEQUENCE. */
  asPath?: (number | number[] | { confed: number[] })[];
  origin?: number;
  med?: number;
  localPref?: number;
  communities?: number[];
  largeCommunities?: [number, number, number][];
  originatorId?: number;
  clusterList?: number[];
  /** As hexadecimal numbers of 16 digits. */
  extCommunities?: string[];
  aigp?: number;
  otc?: number;
}

/** Move sequences, settled and fresh. */
export const settled = (sequence: number): [number, number, number] => [65001, 28022, sequence];
export const fresh = (sequence: number): [number, number, number] => [65002, 28023, sequence];

const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];

/** The set in canonical form: ascending codes, 4-octet ASNs. */
export function attributeBytes(sample: SampleAttributes): Uint8Array {
  const bytes: number[] = [];
  const put = (flags: number, code: number, value: number[]): void => {
    if (value.length > 255) bytes.push(flags | 0x10, code, value.length >> 8, value.length & 255, ...value);
    else bytes.push(flags, code, value.length, ...value);
  };
  put(0x40, 1, [sample.origin ?? 0]);
  const path: number[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) path.push(2, run.length, ...run.flatMap(u32));
    run = [];
  };
  for (const item of sample.asPath ?? []) {
    if (typeof item === 'number') run.push(item);
    else {
      flush();
      const [type, asns] = Array.isArray(item) ? [1, item] : [3, item.confed];
      path.push(type, asns.length, ...asns.flatMap(u32));
    }
  }
  flush();
  put(0x40, 2, path);
  if (sample.med !== undefined) put(0x80, 4, u32(sample.med));
  if (sample.localPref !== undefined) put(0x40, 5, u32(sample.localPref));
  if (sample.communities !== undefined) put(0xc0, 8, sample.communities.flatMap(u32));
  if (sample.originatorId !== undefined) put(0x80, 9, u32(sample.originatorId));
  if (sample.clusterList !== undefined) put(0x80, 10, sample.clusterList.flatMap(u32));
  if (sample.extCommunities !== undefined)
    put(0xc0, 16, [...Buffer.from(sample.extCommunities.join(''), 'hex')]);
  if (sample.aigp !== undefined) put(0x80, 26, [1, 0, 11, 0, 0, 0, 0, ...u32(sample.aigp)]);
  if (sample.largeCommunities !== undefined) put(0xc0, 32, sample.largeCommunities.flat().flatMap(u32));
  if (sample.otc !== undefined) put(0xc0, 35, u32(sample.otc));
  return Uint8Array.from(bytes);
}

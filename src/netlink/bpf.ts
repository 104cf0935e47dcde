// The classic BPF program of a guest's packet socket (include/uapi/linux/filter.h): what tells who is behind a port,
// and nothing else. ARP, RARP, neighbour and router discovery with redirects (ICMPv6 133-137, RFC 4861), DHCPv4 to a
// server (RFC 2131) and DHCPv6 to a server (RFC 8415). Pure.
//
// Left out: frames with a VLAN tag (a guest's tag is not the port's network), fragments of DHCPv4, ICMPv6 behind
// extension headers, and our own outgoing frames where the kernel cannot leave them out by itself. A load beyond
// the frame's end drops it.

/** One instruction: code, jump if true, jump if false (both relative to the next one), constant. */
export type BpfInstruction = readonly [code: number, yes: number, no: number, k: number];

const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const LOAD_BYTE = 0x30;
const LOAD_HALF_INDEXED = 0x48;
/** X = 4 * (byte & 15): the length of an IPv4 header. */
const LOAD_HEADER_LENGTH = 0xb1;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** Ancillary loads (SKF_AD_OFF + SKF_AD_*). */
const PACKET_TYPE = 0xfffff000 + 4;
const VLAN_TAG_PRESENT = 0xfffff000 + 48;
const PACKET_OUTGOING = 4;

const ETHERTYPE = 12;
const IP4 = 14;
const IP6 = 14;
const WHOLE = 0xffff_ffff;

/** A jump may name where it goes; `link` makes it relative. */
type Labelled = readonly [code: number, yes: string | number, no: string | number, k: number, label?: string];

const program: readonly Labelled[] = [
  [LOAD_WORD, 0, 0, VLAN_TAG_PRESENT],
  [JUMP_EQUAL, 0, 'drop', 0],
  [LOAD_WORD, 0, 0, PACKET_TYPE],
  [JUMP_EQUAL, 'drop', 0, PACKET_OUTGOING],
  [LOAD_HALF, 0, 0, ETHERTYPE],
  [JUMP_EQUAL, 'take', 0, 0x0806],
  [JUMP_EQUAL, 'take', 0, 0x8035],
  [JUMP_EQUAL, 'ip4', 0, 0x0800],
  [JUMP_EQUAL, 'ip6', 'drop', 0x86dd],
  [LOAD_BYTE, 0, 0, IP4 + 9, 'ip4'],
  [JUMP_EQUAL, 0, 'drop', 17],
  [LOAD_HALF, 0, 0, IP4 + 6],
  [JUMP_SET, 'drop', 0, 0x3fff],
  [LOAD_HEADER_LENGTH, 0, 0, IP4],
  [LOAD_HALF_INDEXED, 0, 0, IP4 + 2],
  [JUMP_EQUAL, 'take', 'drop', 67],
  [LOAD_BYTE, 0, 0, IP6 + 6, 'ip6'],
  [JUMP_EQUAL, 'icmp6', 0, 58],
  [JUMP_EQUAL, 0, 'drop', 17],
  [LOAD_HALF, 0, 0, IP6 + 40 + 2],
  [JUMP_EQUAL, 'take', 'drop', 547],
  [LOAD_BYTE, 0, 0, IP6 + 40, 'icmp6'],
  [JUMP_GREATER_EQUAL, 0, 'drop', 133],
  [JUMP_GREATER, 'drop', 'take', 137],
  [RETURN, 0, 0, WHOLE, 'take'],
  [RETURN, 0, 0, 0, 'drop'],
];

function link(source: readonly Labelled[]): BpfInstruction[] {
  const labels = new Map<string, number>();
  source.forEach(([, , , , label], i) => {
    if (label !== undefined) labels.set(label, i);
  });
  return source.map(([code, yes, no, k], i) => {
    const jump = (to: string | number): number => (typeof to === 'number' ? to : labels.get(to)! - i - 1);
    return [code, jump(yes), jump(no), k];
  });
}

/** What a guest's socket takes. */
export const guestFrames: readonly BpfInstruction[] = link(program);

/** An array of `struct sock_filter`, written into `bytes` (8 a piece). */
export function encodeProgram(instructions: readonly BpfInstruction[], bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  instructions.forEach(([code, yes, no, k], i) => {
    view.setUint16(i * 8, code, true);
    view.setUint8(i * 8 + 2, yes);
    view.setUint8(i * 8 + 3, no);
    view.setUint32(i * 8 + 4, k, true);
  });
}

// Marks and MACs of what leafd makes for passthrough. Pure. A link of leafd's carries an alias that says what it was
// made for: a link of the same name without it is somebody else's, and one with another alias is made anew. MACs come
// from names alone, so that a link that was deleted comes back as its neighbours remember it.

import type { UplinkIntent } from '../intent/passthrough.ts';

/** In the state directory: there while passthrough is on, or while something of it is to be taken back. */
export const PASSTHROUGH_STATE_FILE = 'passthrough.json';

const UPLINK_MARK = 'leafd uplink';

/** IFLA_IFALIAS of both ends of the veth: it names the namespace, for one host may have several. */
export function vethAlias(netns: string): string {
  return `leafd passthrough ${netns}`;
}

/** IFLA_IFALIAS of a macvlan or VLAN: with another parent or mode it is another link. */
export function uplinkAlias({ parent, mode }: Pick<UplinkIntent, 'parent' | 'mode'>): string {
  const id = mode.kind === 'vlan' ? ` ${mode.id}` : '';
  return `${UPLINK_MARK} ${mode.kind} ${parent}${id}`;
}

export function isUplinkAlias(alias: string): boolean {
  return alias.startsWith(`${UPLINK_MARK} `);
}

/** A locally administered unicast MAC that is always the same for the same words (FNV-1a over them, twice). */
export function stableMac(...words: readonly string[]): Uint8Array {
  const mac = new Uint8Array(6);
  const text = words.join('\0');
  const [high, low] = [fnv1a(text, 0x811c9dc5), fnv1a(text, 0x01000193)];
  mac[0] = 2;
  mac[1] = high >>> 24;
  mac[2] = low >>> 24;
  mac[3] = low >>> 16;
  mac[4] = low >>> 8;
  mac[5] = low;
  return mac;
}

function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

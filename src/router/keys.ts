// The keys that incoming connections must carry (RFC 2385), kept as the peers and the ranges want them. A key belongs
// to an address or a range, for the kernel knows no more of a SYN: two peers with one link-local address on two links
// share a key, a peer without a password within a range that has one cannot connect, and of several peers that want a
// key for one address the first one's counts. A change of a password concerns the next handshake here; connections
// that are up are given the new key by `RouterPorts.tune`, so that a session outlives the change when both sides make
// it within the hold time.

import { formatPrefix } from '../net/prefix.ts';
import type { Directory } from './directory.ts';
import type { RouterPorts } from './ports.ts';

interface Key {
  address: Uint8Array;
  length: number;
  password: string;
}

export class Keys {
  readonly #ports: RouterPorts;
  #set = new Map<string, Key>();
  #isStale = false;

  constructor(ports: RouterPorts) {
    this.#ports = ports;
  }

  /** A peer with a password came, went or moved: keys are looked at again by `follow`, once for all of a turn. */
  touch(): void {
    this.#isStale = true;
  }

  /** Sets what is new or changed, takes away what nobody wants any more. */
  follow(directory: Directory): void {
    if (!this.#isStale) return;
    this.#isStale = false;
    const wanted = new Map<string, Key>();
    const want = (address: Uint8Array, length: number, password: string | undefined): void => {
      if (password === undefined) return;
      const key = formatPrefix(address, 0, address.length, length);
      if (!wanted.has(key)) wanted.set(key, { address, length, password });
    };
    for (const peer of directory.byName.values())
      if (peer.remote !== undefined && peer.config.kind !== 'range')
        want(peer.remote, peer.remote.length * 8, peer.config.password);
    for (const config of directory.configs)
      if (config.kind === 'range') want(config.range.bytes, config.range.length, config.password);
    for (const [text, key] of this.#set)
      if (!wanted.has(text)) this.#ports.setKey(key.address, key.length, null);
    for (const [text, key] of wanted)
      if (this.#set.get(text)?.password !== key.password)
        this.#ports.setKey(key.address, key.length, key.password);
    this.#set = wanted;
  }
}

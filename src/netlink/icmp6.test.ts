// The checks of RFC 4861 on received router messages, on bytes written by hand.

import { describe, expect, it } from 'vitest';
import { decodeRouterMessage } from './icmp6.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex');
const linkLocal = Uint8Array.from(hex('fe800000000000000200 00fffe000001'));
const unspecified = new Uint8Array(16);

const advertisement = hex(
  '86' + // type 134
    '00' + // code
    '0000' + // checksum: the kernel's
    '40' + // hop limit
    '00' + // flags
    '0708' + // router lifetime 1800 s
    '00000000' + // reachable time
    '00000000' + // retransmission timer
    '05 01 0000 000005dc' + // MTU option
    '01 01 020000000001', // source link-layer address
);
const solicitation = hex('85 00 0000 00000000');
const decode = (bytes: Buffer, source = linkLocal, hopLimit = 255) =>
  decodeRouterMessage(bytes, bytes.length, source, hopLimit, 7);

describe('decodeRouterMessage', () => {
  it('reads an advertisement and passes over options it does not know', () => {
    const lladdr = Uint8Array.from(hex('020000000001'));
    expect(decode(advertisement)).toEqual({
      type: 134,
      ifindex: 7,
      source: linkLocal,
      lladdr,
      lifetimeS: 1800,
    });
  });

  it('reads a solicitation, also of a host without an address', () => {
    const expected = { type: 133, ifindex: 7, lladdr: undefined, lifetimeS: 0 };
    expect(decode(solicitation)).toEqual({ ...expected, source: linkLocal });
    expect(decode(solicitation, unspecified)).toEqual({ ...expected, source: unspecified });
  });

  it('drops what came through a router', () => {
    expect(decode(advertisement, linkLocal, 254)).toBeUndefined();
    expect(decode(solicitation, linkLocal, 64)).toBeUndefined();
  });

  it('drops a source that is not link-local', () => {
    const global = Uint8Array.from(hex('20010db8000000000000000000000001'));
    expect(decode(advertisement, global)).toBeUndefined();
    expect(decode(advertisement, unspecified)).toBeUndefined();
    expect(decode(solicitation, global)).toBeUndefined();
  });

  it('drops a solicitation of :: that has a source link-layer address (6.1.1)', () => {
    expect(decode(Buffer.concat([solicitation, hex('01 01 020000000001')]), unspecified)).toBeUndefined();
  });

  it('drops every truncation', () => {
    for (let length = 0; length < advertisement.length; length++) {
      const whole = length === 16 || length === 24;
      expect(decode(advertisement.subarray(0, length)) !== undefined, `${length} bytes`).toBe(whole);
    }
  });

  it('drops an option of length 0 and another code or type', () => {
    expect(decode(Buffer.concat([solicitation, hex('01 00 020000000001')]))).toBeUndefined();
    expect(decode(hex('85 01 0000 00000000'))).toBeUndefined();
    expect(decode(hex('87 00 0000 00000000 00000000 00000000'))).toBeUndefined();
  });
});

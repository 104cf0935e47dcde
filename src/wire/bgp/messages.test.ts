// Header, OPEN, NOTIFICATION and ROUTE-REFRESH: faults and limits. Their bytes are in test/golden.
import { describe, expect, test } from 'vitest';
import { concat } from '../../../test/golden/build.ts';
import type { Capability } from './capability.ts';
import { familiesIn, familyByName, familyMask, familyOf, IPV4, IPV6 } from './family.ts';
import { type Fault, isFault, strongest, updateFault } from './fault.ts';
import {
  EXTENDED_MESSAGE_LENGTH_MAX,
  frameLength,
  frameMessage,
  HEADER_LENGTH,
  headerFault,
  KEEPALIVE,
  keepaliveMessage,
  MESSAGE_LENGTH_MAX,
  messageType,
  NOTIFICATION,
  OPEN,
  ROUTE_REFRESH,
  UPDATE,
} from './header.ts';
import {
  CEASE_ADMIN_SHUTDOWN,
  decodeNotification,
  encodeNotification,
  encodeShutdownText,
  notificationText,
  shutdownText,
} from './notification.ts';
import { decodeOpen, encodeOpen, type Open } from './open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from './refresh.ts';

const open: Open = { asn: 65001, holdTimeS: 9, bgpId: 0x0a000001, capabilities: [] };

describe('header', () => {
  test('a stream is cut at message ends', () => {
    const stream = concat(keepaliveMessage, encodeOpen(open), keepaliveMessage.subarray(0, 10));
    const first = frameLength(stream, 0, stream.length, MESSAGE_LENGTH_MAX);
    const second = frameLength(stream, first, stream.length, MESSAGE_LENGTH_MAX);
    expect([first, second]).toEqual([19, 29]);
    expect(messageType(stream, first)).toBe(OPEN);
    expect(frameLength(stream, first + second, stream.length, MESSAGE_LENGTH_MAX)).toBe(0);
    for (let end = 19; end < 48; end++) expect(frameLength(stream, 19, end, MESSAGE_LENGTH_MAX)).toBe(0);
  });

  const header = (length: number, type: number): Uint8Array =>
    concat(new Uint8Array(16).fill(255), [length >>> 8, length & 255, type]);
  test.each<[string, Uint8Array, number, number[] | undefined]>([
    ['marker', concat([0], header(19, KEEPALIVE).subarray(1)), 1, undefined],
    ['length 18', header(18, KEEPALIVE), 2, [0, 18]],
    ['length 4097', header(4097, UPDATE), 2, [16, 1]],
    ['KEEPALIVE of 20', header(20, KEEPALIVE), 2, [0, 20]],
    ['OPEN of 28', header(28, OPEN), 2, [0, 28]],
    ['UPDATE of 22', header(22, UPDATE), 2, [0, 22]],
    ['NOTIFICATION of 20', header(20, NOTIFICATION), 2, [0, 20]],
    ['ROUTE-REFRESH of 22', header(22, ROUTE_REFRESH), 2, [0, 22]],
    ['type 0', header(19, 0), 3, [0]],
    ['type 6', header(19, 6), 3, [6]],
    ['type 255', header(19, 255), 3, [255]],
  ])('bad %s', (_name, bytes, subcode, data) => {
    expect(frameLength(bytes, 0, bytes.length, MESSAGE_LENGTH_MAX)).toBe(-1);
    const fault = headerFault(bytes, 0, MESSAGE_LENGTH_MAX);
    expect(fault).toMatchObject({ code: 1, subcode, disposition: 'reset' });
    expect(fault.data === undefined ? undefined : [...fault.data]).toEqual(data);
  });

  test('extended messages are for all but OPEN and KEEPALIVE', () => {
    const max = EXTENDED_MESSAGE_LENGTH_MAX;
    const long = new Uint8Array(5000);
    expect(frameLength(frameMessage(UPDATE, long), 0, 9000, max)).toBe(5019);
    expect(frameLength(frameMessage(OPEN, long), 0, 9000, max)).toBe(-1);
    expect(headerFault(frameMessage(OPEN, long), 0, max)).toMatchObject({ subcode: 2 });
  });
});

describe('OPEN', () => {
  const body = (bytes: Uint8Array): Open | Fault => decodeOpen(bytes, 0, bytes.length);
  const fixed = [4, 0xfd, 0xe9, 0, 9, 10, 0, 0, 1];
  test.each<[string, number[], number]>([
    ['version 3', [3, ...fixed.slice(1), 0], 1],
    ['parameters longer than the message', [...fixed, 4, 2, 0], 0],
    ['parameters shorter than the message', [...fixed, 2, 2, 0, 9], 0],
    ['a parameter cut off', [...fixed, 1, 2], 0],
    ['a parameter overrun', [...fixed, 2, 2, 9], 0],
    ['authentication', [...fixed, 3, 1, 1, 0], 4],
    ['parameter 99', [...fixed, 2, 99, 0], 4],
    ['a capability cut off', [...fixed, 3, 2, 1, 1], 0],
    ['a capability overrun', [...fixed, 4, 2, 2, 1, 9], 0],
    ['multiprotocol of three bytes', [...fixed, 7, 2, 5, 1, 3, 0, 1, 1], 0],
    ['AS4 of two bytes', [...fixed, 6, 2, 4, 65, 2, 0, 1], 0],
    ['graceful restart of three bytes', [...fixed, 7, 2, 5, 64, 3, 0, 1, 1], 0],
    ['ADD-PATH of three bytes', [...fixed, 7, 2, 5, 69, 3, 0, 1, 1], 0],
    ['extended length cut off', [...fixed, 255, 255, 0], 0],
    ['extended length overrun', [...fixed, 255, 255, 0, 9, 2, 0, 0], 0],
  ])('%s is refused', (_name, bytes, subcode) => {
    expect(body(new Uint8Array(bytes))).toMatchObject({ code: 2, subcode, disposition: 'reset' });
  });

  test('a version error tells the version we speak', () => {
    const fault = body(new Uint8Array([3, ...fixed.slice(1), 0])) as Fault;
    expect([...fault.data!]).toEqual([0, 4]);
  });

  test('several parameters with several capabilities each are read in order', () => {
    const bytes = [...fixed, 12, 2, 4, 2, 0, 70, 0, 2, 4, 6, 0, 200, 0];
    expect(body(new Uint8Array(bytes))).toMatchObject({
      capabilities: [
        { kind: 'routeRefresh' },
        { kind: 'enhancedRouteRefresh' },
        { kind: 'extendedMessage' },
        { kind: 'unknown', code: 200 },
      ],
    });
  });

  test('the 4-octet ASN is the real one', () => {
    const message = encodeOpen({
      ...open,
      asn: 4200000001,
      capabilities: [{ kind: 'asn4', asn: 4200000001 }],
    });
    expect([message[20], message[21]]).toEqual([0x5b, 0xa0]);
    expect(decodeOpen(message, HEADER_LENGTH, message.length)).toMatchObject({ asn: 4200000001 });
  });

  test('more than 253 bytes of capabilities use RFC 9072', () => {
    const capabilities: Capability[] = [1, 2, 3].map((code) => ({
      kind: 'unknown',
      code: 200 + code,
      value: new Uint8Array(200).fill(code),
    }));
    const message = encodeOpen({ ...open, capabilities });
    expect([message[28], message[29]]).toEqual([255, 255]);
    expect(decodeOpen(message, HEADER_LENGTH, message.length)).toEqual({ ...open, capabilities });
  });

  test.each([
    ['FQDN', 73],
    ['long-lived graceful restart', 71],
    ['paths limit', 76],
    ['link-local next hop', 77],
  ])('%s that cannot be read is kept as it is', (_name, code) => {
    const bytes = new Uint8Array([...fixed, 6, 2, 4, code, 2, 9, 65]);
    expect(body(bytes)).toMatchObject({ capabilities: [{ kind: 'unknown', code }] });
  });

  test('a parameter of more than 255 bytes and one behind it (RFC 9072), whatever the short length says', () => {
    const refresh = new Uint8Array(260).fill(0);
    for (let at = 0; at < 260; at += 2) refresh[at] = 2;
    for (const short of [255, 4, 1]) {
      const bytes = concat(fixed, [short, 255, 1, 12, 2, 1, 4], refresh, [2, 0, 2, 70, 0]);
      const read = body(bytes) as Open;
      expect(read.capabilities).toHaveLength(131);
      expect(read.capabilities.at(-1)).toEqual({ kind: 'enhancedRouteRefresh' });
    }
    expect(body(concat(fixed, [0, 255, 0, 0]))).toMatchObject({ code: 2, subcode: 0 });
  });
});

describe('NOTIFICATION', () => {
  test('names', () => {
    expect(notificationText(6, 2)).toBe('Cease/Administrative Shutdown');
    expect(notificationText(4, 0)).toBe('Hold Timer Expired');
    expect(notificationText(6, 99)).toBe('Cease/99');
    expect(notificationText(77, 3)).toBe('error 77/3');
  });

  test('encoded and read back', () => {
    const message = encodeNotification(3, 5, new Uint8Array([1, 2]));
    expect(decodeNotification(message, HEADER_LENGTH, message.length)).toEqual({
      code: 3,
      subcode: 5,
      data: new Uint8Array([1, 2]),
    });
  });

  test('data is cut to what a message holds', () => {
    expect(encodeNotification(3, 1, new Uint8Array(9000)).length).toBe(4096);
  });

  test('shutdown communication is cut at a character and cleaned', () => {
    const note = (data: Uint8Array): ReturnType<typeof decodeNotification> => ({
      code: 6,
      subcode: CEASE_ADMIN_SHUTDOWN,
      data,
    });
    expect(shutdownText(note(encodeShutdownText('back at 9:00 ☕')))).toBe('back at 9:00 ☕');
    const long = encodeShutdownText('é'.repeat(200));
    expect(long.length).toBe(255);
    expect(shutdownText(note(long))).toBe('é'.repeat(127));
    expect(shutdownText(note(new Uint8Array([3, 65, 10, 66])))).toBe('A B');
    expect(shutdownText(note(new Uint8Array([9, 65])))).toBeUndefined();
    expect(shutdownText(note(new Uint8Array(0)))).toBeUndefined();
    expect(shutdownText({ code: 6, subcode: 3, data: new Uint8Array([1, 65]) })).toBeUndefined();
  });
});

describe('ROUTE-REFRESH', () => {
  test('reads back', () => {
    const message = encodeRouteRefresh(IPV6, 1);
    expect(decodeRouteRefresh(message, HEADER_LENGTH, message.length)).toEqual({
      afi: 2,
      safi: 1,
      family: IPV6,
      subtype: 1,
    });
  });
  test('lengths: RFC 7313 has its own error for its own subtypes', () => {
    expect(decodeRouteRefresh(new Uint8Array([0, 1, 1, 1, 0]), 0, 5)).toMatchObject({ code: 7, subcode: 1 });
    expect(decodeRouteRefresh(new Uint8Array([0, 1, 0, 1, 0]), 0, 5)).toMatchObject({ code: 1, subcode: 2 });
    expect(decodeRouteRefresh(new Uint8Array([0, 1]), 0, 2)).toMatchObject({ code: 1, subcode: 2 });
  });
  test('a family we do not know is no fault', () => {
    expect(decodeRouteRefresh(new Uint8Array([0, 25, 0, 71]), 0, 4)).toMatchObject({ family: -1 });
  });
});

test('the strongest fault wins, the first among equals', () => {
  const discard = updateFault(1, 'discard', 'a');
  const withdraw = updateFault(1, 'withdraw', 'b');
  const disable = updateFault(1, 'disable', 'c');
  const reset = updateFault(1, 'reset', 'd');
  expect(strongest(undefined, discard)).toBe(discard);
  expect(strongest(withdraw, discard)).toBe(withdraw);
  expect(strongest(withdraw, disable)).toBe(disable);
  expect(strongest(disable, reset)).toBe(reset);
  expect(strongest(reset, updateFault(2, 'reset', 'e'))).toBe(reset);
  expect(isFault(reset)).toBe(true);
  expect(isFault(open)).toBe(false);
});

test('family ids, masks and names', () => {
  expect([familyOf(1, 1), familyOf(2, 1), familyOf(25, 71)]).toEqual([IPV4, IPV6, -1]);
  expect([familyByName('ipv6'), familyByName('evqn')]).toEqual([IPV6, -1]);
  expect(familiesIn(familyMask([IPV6, IPV4]))).toEqual([IPV4, IPV6]);
});

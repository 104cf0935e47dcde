import { expect, test } from 'vitest';
import type { SpeakerUsers } from '../intent/intent.ts';
import { userFault } from './speaker-user.ts';

const passwd = `root:x:0:0:root:/root:/bin/sh
frr:x:105:109::/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/sh
toor:x:65532:0::/:/bin/sh
speaker:x:65532:0::/:/bin/sh
`;

const rows: [SpeakerUsers, number, string | undefined][] = [
  ['system', 0, undefined],
  ['system', 105, undefined],
  ['system', 999, undefined],
  ['system', 1000, 'alice, uid 1000'],
  ['system', 65534, 'uid 65534'],
  // Users of another user namespace.
  ['system', 1_000_000, 'uid 1000000'],
  [['alice'], 1000, undefined],
  [[1000], 1000, undefined],
  [['speaker'], 65532, undefined],
  [['alice', 65532], 105, 'frr, uid 105'],
  [['alice'], 0, undefined],
  // A name that looks like a number is no uid.
  [['1000'], 1000, 'alice, uid 1000'],
];

test.each(rows)('users %o, uid %i: %s', (users, uid, detail) => {
  const fault = detail === undefined ? undefined : { why: 'otherUser', detail };
  expect(userFault(users, uid, () => passwd)).toEqual(fault);
});

test('who is allowed by number needs no names', () => {
  const unread = (): string => {
    throw new Error('read');
  };
  expect(userFault('system', 105, unread)).toBeUndefined();
  expect(() => userFault(['alice'], 1000, unread)).toThrow('read');
});

// Whether the process at the other end of a connection may be a speaker of this host. Any user of the host can connect
// from its addresses, and listen at ports above 1023: without a look at whose socket it is, everybody with a shell
// could announce what he likes to the fabric. Names are those of /etc/passwd, read when they are needed: a user may be
// made after leafd has started.

import { readFileSync } from 'node:fs';
import type { SpeakerUsers } from '../intent/intent.ts';
import type { SocketEnds } from '../netlink/sock-diag.ts';
import { connectionOwner } from '../netlink/socket-owner.ts';

/** What adduser(8) and systemd call people begins here. */
const PEOPLE_FROM_UID = 1000;
const PASSWD = '/etc/passwd';

export interface SpeakerFault {
  why: 'otherUser' | 'noProcess';
  /** Who it is. */
  detail?: string;
}

/** Looks at a connection, whose ends are as the other side sees them; undefined: it may be the speaker. */
export function speakerFault(
  users: SpeakerUsers,
  ends: SocketEnds,
  options: { ifindex: number; accepting: boolean },
): SpeakerFault | undefined {
  const uid = connectionOwner(ends, options);
  if (uid === undefined) return { why: 'noProcess' };
  return userFault(users, uid, passwd);
}

/** `passwd` gives the text of /etc/passwd. */
export function userFault(users: SpeakerUsers, uid: number, passwd: () => string): SpeakerFault | undefined {
  // Root can do as anybody else: to refuse it would keep nobody out.
  if (uid === 0 || (users === 'system' ? uid < PEOPLE_FROM_UID : users.includes(uid))) return undefined;
  const names = namesOf(uid, passwd());
  if (users !== 'system' && names.some((name) => users.includes(name))) return undefined;
  return { why: 'otherUser', detail: names[0] === undefined ? `uid ${uid}` : `${names[0]}, uid ${uid}` };
}

/** A uid may have several names. */
function namesOf(uid: number, text: string): string[] {
  const rows = text.split('\n').map((line) => line.split(':'));
  return rows.filter((row) => row[2] === String(uid)).map(([name]) => name!);
}

function passwd(): string {
  try {
    return readFileSync(PASSWD, 'utf8');
  } catch {
    return '';
  }
}

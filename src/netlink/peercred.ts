// Who is at the other end of a unix socket: SO_PEERCRED (unix(7)), the ids of the process at the time it connected.
// The kernel vouches for them, so they need no password. What one may do with which id is the caller's business.

import { check, libcCalls, SOL_SOCKET } from './sys.ts';

const SO_PEERCRED = 17;

/** struct ucred. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** The credentials of the peer of a connected unix socket. Throws a SysError for any other descriptor. */
export function peerCredentials(fd: number): PeerCredentials {
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  check('getsockopt', libcCalls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length), 'SO_PEERCRED');
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

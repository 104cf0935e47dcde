// What systemd wants to hear of a service of Type=notify: one datagram to the socket it named (sd_notify(3)). Outside
// systemd nothing happens. Node has no datagram unix sockets, so libc sends it.

import { AF_UNIX, closeFd, libcCalls, raw, SOCK_CLOEXEC, SOCK_DGRAM } from '../netlink/sys.ts';

/** Sends lines such as `READY=1`; failure is of no use to anyone and is ignored. */
export function notifySystemd(...lines: string[]): void {
  const path = process.env.NOTIFY_SOCKET;
  if (path === undefined || path.length < 2 || path.length > 107) return;
  const fd = raw(libcCalls.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return;
  const name = Buffer.from(path);
  // A leading @ means the abstract namespace, which begins with a zero byte and has no zero at its end.
  if (name[0] === 0x40) name[0] = 0;
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const message = Buffer.from(lines.join('\n'));
  libcCalls.sendto(fd, message, message.length, 0, address, address.length);
  closeFd(fd);
}

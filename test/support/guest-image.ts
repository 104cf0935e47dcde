// A guest for QEMU: Debian's cloud kernel and a memory file system of busybox with the network driver. The kernel's
// package is taken apart into a cache instead of being installed, which would build an initramfs of the machine and
// touch its boot loader; so is busybox-static's, because a machine may have the other busybox. The image is named after what it is made of: a new kernel or a new init makes a new one.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { runOrThrow } from './fabric.ts';

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

const cache =
  process.env.LEAFD_TEST_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'leafd-test', 'guest');

/** Drivers that the cloud kernel has as modules. */
const modules = ['virtio_pci', 'virtio_net', 'af_packet'];

// Addresses come on the kernel's command line as leafd.addresses=A/L,B/L; `leafd.silent` says nothing by itself and
// has no duplicate address detection; `leafd.dirty=N` rewrites N MiB of memory without end. DAD stays on otherwise.
const init = `#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
while read m; do $B insmod /m/$m; done </m/list
for word in $($B cat /proc/cmdline); do
  case $word in
    leafd.addresses=*) addresses=$(echo \${word#*=} | $B tr , ' ') ;;
    leafd.silent) silent=1 ;;
    leafd.dirty=*) dirty=\${word#*=} ;;
  esac
done
$B sysctl -q -w net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.eth0.accept_ra=0
[ -n "$silent" ] && $B sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0
$B ip link set lo up
$B ip link set eth0 up
for address in $addresses; do $B ip addr add $address dev eth0; done
$B ip route add 169.254.0.1 dev eth0 scope link
$B ip route add default via 169.254.0.1 dev eth0
$B ip -6 route add default via fe80::1 dev eth0
echo "leafd-guest: ready"
if [ -n "$dirty" ]; then
  $B mount -t tmpfs tmpfs /tmp
  while :; do $B dd if=/dev/urandom of=/tmp/dirty bs=1M count=$dirty conv=notrunc 2>/dev/null; done &
fi
while :; do $B sleep 1000; done
`;

/** The image, made at the first call on a machine; needs apt, kmod and cpio. */
export async function guestImage(): Promise<GuestImage> {
  mkdirSync(cache, { recursive: true });
  const release = presentRelease() ?? (await fetchKernel());
  const directory = join(cache, release);
  const key = createHash('sha256').update(init).update(modules.join()).digest('hex').slice(0, 12);
  const initrd = join(directory, `initrd-${key}.gz`);
  if (!existsSync(initrd)) await makeInitrd(directory, release, initrd);
  return { kernel: join(directory, 'vmlinuz'), initrd };
}

function presentRelease(): string | undefined {
  return readdirSync(cache).find((name) => existsSync(join(cache, name, 'busybox')));
}

async function fetchKernel(): Promise<string> {
  const dependencies = async () =>
    (await runOrThrow(['apt-cache', 'depends', 'linux-image-cloud-amd64'])).trim();
  let named = /Depends: linux-image-(\S+)/.exec(await dependencies());
  if (named === null) {
    await runOrThrow(['apt-get', 'update', '-q']);
    named = /Depends: linux-image-(\S+)/.exec(await dependencies());
  }
  if (named === null) throw new Error('the package linux-image-cloud-amd64 is not offered here');
  const release = named[1]!;
  const scratch = mkdtempSync(join(cache, 'fetch-'));
  try {
    const download = [
      `cd "$0" && apt-get download -q "linux-image-$1" busybox-static`,
      'for package in *.deb; do dpkg -x "$package" unpacked || exit 1; done',
    ].join('; ');
    await runOrThrow(['sh', '-c', download, scratch, release]);
    const made = join(scratch, 'made');
    mkdirSync(join(made, 'lib'), { recursive: true });
    renameSync(join(scratch, 'unpacked/boot', `vmlinuz-${release}`), join(made, 'vmlinuz'));
    renameSync(join(scratch, 'unpacked/lib/modules'), join(made, 'lib/modules'));
    await runOrThrow(['depmod', '-b', made, release]);
    await keepNeeded(made, release);
    copyFileSync(join(scratch, 'unpacked/bin/busybox'), join(made, 'busybox'));
    rmSync(join(cache, release), { recursive: true, force: true });
    renameSync(made, join(cache, release));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return release;
}

/** Copies the modules in the order they are loaded and forgets the rest: 1 MB in place of 90. */
async function keepNeeded(made: string, release: string): Promise<void> {
  const paths: string[] = [];
  for (const module of modules) {
    const shown = await runOrThrow(['modprobe', '-d', made, '-S', release, '--show-depends', module]);
    for (const [, path] of shown.matchAll(/^insmod (\S+)/gm)) if (!paths.includes(path!)) paths.push(path!);
  }
  mkdirSync(join(made, 'm'));
  for (const path of paths) copyFileSync(path, join(made, 'm', basename(path)));
  writeFileSync(join(made, 'm', 'list'), paths.map((path) => `${basename(path)}\n`).join(''));
  rmSync(join(made, 'lib'), { recursive: true });
}

async function makeInitrd(directory: string, release: string, out: string): Promise<void> {
  const tree = mkdtempSync(join(cache, `initrd-${release}-`));
  try {
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp']) mkdirSync(join(tree, name));
    await runOrThrow(['cp', '-r', join(directory, 'm'), join(tree, 'm')]);
    copyFileSync(join(directory, 'busybox'), join(tree, 'bin/busybox'));
    symlinkSync('busybox', join(tree, 'bin/sh'));
    writeFileSync(join(tree, 'init'), init);
    chmodSync(join(tree, 'init'), 0o755);
    const pack = 'cd "$0" && find . | cpio -o -H newc --quiet | gzip -1 >"$1.new" && mv "$1.new" "$1"';
    await runOrThrow(['sh', '-c', pack, tree, out]);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

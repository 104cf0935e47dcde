// Real LXD, as Debian packages it, one or two members of a cluster: each daemon in a network namespace of its own
// with a guest bridge, in a process namespace (so that nothing it starts outlives it) and a mount namespace (so that
// its mounts go with it), its state in a private directory. `ip netns exec` hides the control groups, so they are
// bound back. The image is busybox and a shell script, made here: nothing is fetched.
//
// Needs Debian's lxd, and busybox or busybox-static, and root.

import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { run, runOrThrow, until } from './fabric.ts';

/** Guest bridge in each member's namespace. */
export const BRIDGE = 'vmbr1';
const GROUPS = '/sys/fs/cgroup';
const LXD = 'lxd --group root';

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
trap 'exit 0' PWR TERM
ip link set lo up
ip link set eth0 up
for one in $ADDRESSES; do ip addr add $one dev eth0; done
[ -z "$GATEWAY4" ] || ip route add default via $GATEWAY4 dev eth0 onlink
[ -z "$GATEWAY6" ] || ip -6 route add default via $GATEWAY6 dev eth0
while :; do sleep 1000 & wait $!; done
`;

export interface LxdMember {
  readonly name: string;
  readonly netns: string;
  readonly socket: string;
  /** The `metadata` of an answer; waits for an operation to end. Throws with LXD's words. */
  api<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
  /** A command in the member's network namespace, which must succeed. */
  out(...argv: string[]): Promise<string>;
  /** Ends the daemon and its instances as a crash would. */
  kill(): Promise<void>;
  /** The daemon and its instances again, on the same state: resolves when it answers. */
  start(): Promise<void>;
  /** Kills the daemon alone, which comes back by itself; its instances run on. */
  crash(): Promise<void>;
}

export interface LxdBed {
  readonly members: readonly LxdMember[];
  /** A name of this test's own. */
  instance(title: string): string;
  /** Makes a stopped container. */
  create(member: LxdMember, title: string, what: InstanceOptions): Promise<string>;
  /** Starts, stops: `action` as LXD has it. */
  act(member: LxdMember, instance: string, action: 'start' | 'stop' | 'restart'): Promise<void>;
  /** Removes everything; resolves to what is left, which must be nothing. */
  close(): Promise<string[]>;
}

export interface InstanceOptions {
  nic: Record<string, string>;
  config?: Record<string, string>;
}

/** Starts one LXD, or a cluster of two, under names of this process. */
export async function lxdBed(title: string, count: 1 | 2): Promise<LxdBed> {
  const tag = `lfl${process.pid.toString(36)}${title}`;
  const directory = directoryOf(tag);
  const members = Array.from({ length: count }, (_, i) => new Member(tag, directory, i));
  const clean = (): string[] => removeAll(tag, members);
  process.once('exit', clean);
  const close = async (): Promise<string[]> => {
    await Promise.all(members.map((member) => member.kill()));
    process.off('exit', clean);
    return clean();
  };
  try {
    removeOrphans();
    mkdirSync(directory, { mode: 0o700 });
    writeFileSync(join(directory, 'owner'), String(process.pid));
    await makeNetwork(members);
    await members[0]!.start();
    await preseed(members[0]!, count === 1 ? standalone : firstOfCluster(members[0]!));
    const image = await importImage(members[0]!, makeImage(directory));
    for (const member of members.slice(1)) {
      await member.start();
      await preseed(member, joining(member, await joinToken(members[0]!, member)));
    }
    return { members, close, instance: (name) => `${tag}-${name}`, ...instances(tag, image, count > 1) };
  } catch (error) {
    await close();
    throw error;
  }
}

function instances(tag: string, image: string, clustered: boolean): Pick<LxdBed, 'create' | 'act'> {
  return {
    create: async (member, title, { nic, config }) => {
      const name = `${tag}-${title}`;
      const target = clustered ? `?target=${member.name}` : '';
      await member.api('POST', `/1.0/instances${target}`, {
        name,
        source: { type: 'image', fingerprint: image },
        config: { 'security.privileged': 'true', ...config },
        devices: {
          root: { type: 'disk', pool: 'default', path: '/' },
          eth0: { type: 'nic', name: 'eth0', ...nic },
        },
      });
      return name;
    },
    act: async (member, instance, action) => {
      const force = action !== 'start';
      await member.api('PUT', `/1.0/instances/${instance}/state`, { action, force, timeout: 10 });
    },
  };
}

class Member implements LxdMember {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
  readonly directory: string;
  readonly socket: string;
  private process: { pid: number; ended: Promise<void> } | undefined;

  constructor(tag: string, parent: string, index: number) {
    this.name = `m${index + 1}`;
    this.netns = `${tag}-${this.name}`;
    this.address = `10.99.0.${index + 1}`;
    this.directory = join(parent, this.name);
    this.socket = join(this.directory, 'state', 'unix.socket');
  }

  get environment(): Record<string, string> {
    return {
      ...(process.env as Record<string, string>),
      LXD_DIR: join(this.directory, 'state'),
      HOME: this.directory,
    };
  }

  async start(): Promise<void> {
    const { directory } = this;
    for (const name of ['state', 'groups']) mkdirSync(join(directory, name), { recursive: true });
    const script = join(directory, 'start');
    // The shell stays as the first process, to reap what LXD's instances leave behind.
    const inside = `mount --rbind ${directory}/groups ${GROUPS}; while :; do ${LXD} & wait $!; done`;
    const lines = ['#!/bin/sh', `mount --rbind ${GROUPS} ${directory}/groups`];
    lines.push(`exec ip netns exec ${this.netns} sh -c '${inside}'`);
    writeFileSync(script, `${lines.join('\n')}\n`, { mode: 0o700 });
    const log = openSync(join(directory, 'log'), 'a');
    // Dies with this process, and all that is in its process namespace with it.
    const words = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private'];
    words.push('--pid', '--fork', '--kill-child', '--mount-proc', script);
    const child = spawn('setpriv', words, { env: this.environment, stdio: ['ignore', log, log] });
    closeSync(log);
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    this.process = { pid: child.pid!, ended };
    await this.answers();
  }

  private async answers(): Promise<void> {
    const ask = (): Promise<unknown> =>
      this.api('GET', '/1.0').then(
        () => true,
        (error: Error) => `${error.message}\n${this.log()}`,
      );
    await until(ask, (answer) => answer === true, { timeoutMs: 20_000, everyMs: 20, what: 'LXD' });
  }

  async kill(): Promise<void> {
    this.killNow();
    await this.process?.ended;
    this.process = undefined;
    rmSync(this.socket, { force: true });
  }

  /** Kills the first process in the namespace, with which all others go; its parent reaps it and ends. */
  killNow(): void {
    if (this.process === undefined) return;
    const first = childrenOf(this.process.pid);
    for (const pid of first.length > 0 ? first : [this.process.pid]) killPid(pid);
  }

  async crash(): Promise<void> {
    const daemons = childrenOf(childrenOf(this.process!.pid)[0]!).filter((pid) => commandOf(pid) === LXD);
    for (const pid of daemons) killPid(pid);
    await until(
      () => daemons.filter((pid) => commandOf(pid) === LXD),
      ({ length }) => length === 0,
      {
        timeoutMs: 2000,
        everyMs: 5,
        what: 'the end of LXD',
      },
    );
    await this.answers();
  }

  log(): string {
    const path = join(this.directory, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-1500) : '';
  }

  out(...argv: string[]): Promise<string> {
    return runOrThrow(['ip', 'netns', 'exec', this.netns, ...argv]);
  }

  async api<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await call(this.socket, method, path, body);
    if (answer.type !== 'async') return answer.metadata as T;
    // In a cluster LXD may answer while the other member still works.
    const operation = await until(
      async () => {
        const { metadata } = await call(this.socket, 'GET', `${answer.operation}/wait?timeout=30`);
        return metadata as { status: string; err: string };
      },
      ({ status }) => status !== 'Running' && status !== 'Pending',
      { timeoutMs: 30_000, everyMs: 10, what: `${method} ${path}` },
    );
    if (operation.status !== 'Success')
      throw new Error(`${method} ${path}: ${operation.status}: ${operation.err}`);
    return operation as T;
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean).join(' ');
  } catch {
    return undefined;
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

interface Answer {
  type: string;
  operation: string;
  metadata: unknown;
}

/** One request; a Buffer is sent as it is. */
function call(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body);
    const headers = sent === undefined ? {} : { 'content-length': Buffer.byteLength(sent) };
    const out = request({ socketPath, method, path, headers, agent: false, timeout: 40_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        try {
          const answer = JSON.parse(text) as Answer & { error?: string };
          if (answer.type === 'error') reject(new Error(`${method} ${path}: ${answer.error}`));
          else resolve(answer);
        } catch {
          reject(new Error(`${method} ${path}: ${text.slice(0, 200)}`));
        }
      });
    });
    out.on('timeout', () => out.destroy(new Error(`${method} ${path}: no answer`)));
    out.on('error', reject);
    out.end(sent);
  });
}

async function makeNetwork(members: readonly Member[]): Promise<void> {
  for (const { netns } of members) {
    await runOrThrow(['ip', 'netns', 'add', netns]);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    await runOrThrow(['ip', '-n', netns, 'link', 'add', BRIDGE, 'type', 'bridge']);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', BRIDGE, 'up']);
  }
  const [first, second] = members;
  if (first === undefined || second === undefined) return;
  const cable = ['ip', '-n', first.netns, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0'];
  await runOrThrow([...cable, 'netns', second.netns]);
  for (const { netns, address } of members) {
    await runOrThrow(['ip', '-n', netns, 'address', 'add', `${address}/24`, 'dev', 'up0']);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', 'up0', 'up']);
  }
}

const pool = ['storage_pools:', '- name: default', '  driver: dir'];
const standalone = pool;

function firstOfCluster(member: Member): string[] {
  const cluster = ['cluster:', `  server_name: ${member.name}`, '  enabled: true'];
  return ['config:', `  core.https_address: ${member.address}:8443`, ...pool, ...cluster];
}

function joining(member: Member, token: string): string[] {
  const cluster = ['cluster:', '  enabled: true', `  server_address: ${member.address}:8443`];
  const storage = ['  member_config:', '  - entity: storage-pool', '    name: default', '    key: source'];
  return [...cluster, `  cluster_token: ${token}`, ...storage, '    value: ""'];
}

/** In the member's network: `lxd init` speaks to the cluster itself. */
async function preseed(member: Member, lines: readonly string[]): Promise<void> {
  const words = ['env', `LXD_DIR=${member.environment.LXD_DIR}`, 'lxd', 'init', '--preseed'];
  await runOrThrow(['ip', 'netns', 'exec', member.netns, ...words], { input: `${lines.join('\n')}\n` });
}

async function joinToken(first: Member, joiner: Member): Promise<string> {
  const { operation, metadata } = await call(first.socket, 'POST', '/1.0/cluster/members', {
    server_name: joiner.name,
  });
  const { metadata: token } = metadata as {
    metadata: {
      serverName: string;
      secret: string;
      fingerprint: string;
      addresses: string[];
      expiresAt: string;
    };
  };
  if (operation === '') throw new Error('no token for a cluster member');
  const { secret, fingerprint, addresses, expiresAt } = token;
  const text = JSON.stringify({
    server_name: joiner.name,
    fingerprint,
    addresses,
    secret,
    expires_at: expiresAt,
  });
  return Buffer.from(text).toString('base64');
}

/** Path of an image with busybox and an init that takes its addresses from the environment. */
function makeImage(directory: string): string {
  const rootfs = join(directory, 'image', 'rootfs');
  for (const name of ['sbin', 'bin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'run', 'var'])
    mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync('/bin/busybox', join(rootfs, 'bin', 'busybox'));
  // Debian has a static one and one with libraries; nothing is listed for the former.
  const libraries = spawnSync('ldd', ['/bin/busybox'], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+) \(0x/g);
  for (const [, library] of libraries) {
    mkdirSync(join(rootfs, dirname(library!)), { recursive: true });
    copyFileSync(library!, join(rootfs, library!));
  }
  writeFileSync(join(rootfs, 'sbin', 'init'), init);
  for (const name of ['sbin/init', 'bin/busybox']) chmodSync(join(rootfs, name), 0o755);
  const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  writeFileSync(
    join(directory, 'image', 'metadata.yaml'),
    `architecture: ${architecture}\ncreation_date: 1700000000\nproperties: {description: busybox}\n`,
  );
  const path = join(directory, 'image.tar.gz');
  const made = spawnSync('tar', ['-C', join(directory, 'image'), '-czf', path, 'metadata.yaml', 'rootfs']);
  if (made.status !== 0) throw new Error(`tar: ${made.stderr.toString()}`);
  return path;
}

async function importImage(member: Member, path: string): Promise<string> {
  await member.api('POST', '/1.0/images', readFileSync(path));
  const [image] = await member.api<{ fingerprint: string }[]>('GET', '/1.0/images?recursion=1');
  return image!.fingerprint;
}

/** Processes, namespaces, control groups, directories of a bed; what could not be removed. Synchronous, for exits. */
function removeAll(tag: string, members: readonly Member[]): string[] {
  for (const member of members) member.killNow();
  const left: string[] = [];
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  for (const netns of namespaces.filter((one) => one.startsWith(`${tag}-`))) {
    const { status, stderr } = spawnSync('ip', ['netns', 'del', netns], { encoding: 'utf8' });
    if (status !== 0) left.push(`namespace ${netns}: ${stderr.trim()}`);
  }
  left.push(...removeGroups(tag));
  const directory = directoryOf(tag);
  rmSync(directory, { recursive: true, force: true });
  if (existsSync(directory)) left.push(directory);
  return left;
}

const directoryOf = (tag: string): string => join('/tmp', `leafd-lxd-${tag}`);

/** Beds of processes that were killed: what they ran has died with them, the rest is removed here. */
function removeOrphans(): void {
  for (const name of readdirSync('/tmp')) {
    const tag = /^leafd-lxd-(lfl[0-9a-z]+)$/.exec(name)?.[1];
    if (tag === undefined) continue;
    const owner = join('/tmp', name, 'owner');
    const pid = existsSync(owner) ? readFileSync(owner, 'utf8') : '';
    if (pid !== '' && !existsSync(`/proc/${pid}`)) removeAll(tag, []);
  }
}

/** Control groups that instances of a bed have left, at any place below the hierarchies. */
function removeGroups(tag: string): string[] {
  const pattern = new RegExp(`^lxc\\.(monitor|payload)\\.${tag}-`);
  // LXC parks processes in it for a moment; whoever else uses LXC makes it anew.
  const isPark = (name: string): boolean => name === 'lxc.pivot';
  const left: string[] = [];
  const remove = (path: string): void => {
    for (const one of readdirSync(path, { withFileTypes: true }))
      if (one.isDirectory()) remove(join(path, one.name));
    rmdirSync(path);
  };
  const search = (path: string, depth: number): void => {
    for (const one of readdirSync(path, { withFileTypes: true })) {
      const below = join(path, one.name);
      if (!one.isDirectory()) continue;
      if (isPark(one.name)) {
        spawnSync('rmdir', [below]);
        continue;
      }
      if (!pattern.test(one.name)) {
        if (depth > 0) search(below, depth - 1);
        continue;
      }
      try {
        remove(below);
      } catch (error) {
        left.push(`${below}: ${(error as Error).message}`);
      }
    }
  };
  search(GROUPS, 3);
  return left;
}

/** Processes of beds under this process's names, for the check that nothing is left. */
export async function lxdProcesses(bed: LxdBed): Promise<string> {
  const { stdout } = await run(['pgrep', '-af', bed.instance('')]);
  return stdout;
}

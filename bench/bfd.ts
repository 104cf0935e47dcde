// BFD under load: sessions of 3 x 50 ms between two processes in namespaces of their own, while the main thread of one
// loads tables in turns of its usual length; then the link swallows everything. Wanted are no false alarm, and every
// path given up within the detection time. `npm run bench -- bfd [--sessions 50] [--seconds 60] [--turn 2] [--burners 1]`.
//
// Burners are threads of normal priority that never rest, so that the machine has more to do than it has cores.

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Bfd } from '../src/bfd/bfd.ts';
import { withNetns } from '../src/netlink/netns.ts';
import { libcCalls } from '../src/netlink/sys.ts';
import { TableLoad } from './table-load.ts';

const { values: flags } = parseArgs({
  options: {
    sessions: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '60' },
    interval: { type: 'string', default: '50' },
    turn: { type: 'string', default: '2' },
    burners: { type: 'string', default: '1' },
    side: { type: 'string' },
    name: { type: 'string', default: `leafd-bench-bfd-${process.pid}` },
  },
});
const sessions = Number(flags.sessions);
const seconds = Number(flags.seconds);
const interval = Number(flags.interval);
const netns = (side: string): string => `${flags.name}-${side}`;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One process: all sessions of one side. */
async function side(which: 'a' | 'b'): Promise<void> {
  const [ours, theirs] = which === 'a' ? [1, 2] : [2, 1];
  const downs: { atMs: number; sinceMs: number }[] = [];
  const wallMs = (ms: number): number => performance.timeOrigin + ms;
  const bfd: Bfd = new Bfd({
    netns: netns(which),
    onChange: ({ id, state }) => {
      if (state === 'down')
        downs.push({ atMs: Date.now(), sinceMs: wallMs(bfd.session(id)?.sinceMs ?? Number.NaN) });
    },
    onTrouble: (error) => process.send!({ trouble: error.message }),
  });
  const ifindex = withNetns(netns(which), () => Number(libcCalls.if_nametoindex('bench0')));
  const settings = { minTxMs: interval, minRxMs: interval, multiplier: 3, passive: false, minTtl: 255 };
  for (let i = 0; i < sessions; i++) {
    const address = (host: number): Uint8Array => Uint8Array.of(10, 0, 1 + i, host);
    const target = { remote: address(theirs), local: address(ours), ifindex, multihop: false, settings };
    bfd.set(i, target);
  }
  const all = Array.from({ length: sessions }, (_, i) => i);
  const isReady = (): boolean => all.every((i) => (bfd.session(i)?.detectionMs ?? 0) === 3 * interval);
  while (!isReady()) await sleep(20);
  process.send!({ ready: true });
  const load = which === 'a' ? new TableLoad(300_000) : undefined;
  let ended = false;
  process.on('message', (word: string) => {
    if (word === 'cut') {
      const gaps = all.map((i) => bfd.session(i)!.worstGapMs);
      process.send!({
        gaps,
        falseAlarms: downs.length,
        worstLateMs: bfd.worstLateMs,
        tables: load?.tables ?? 0,
      });
      downs.length = 0;
    } else ended = true;
  });
  while (!ended) {
    load?.run(Number(flags.turn));
    await (load === undefined ? sleep(20) : new Promise((resolve) => setImmediate(resolve)));
  }
  process.send!({ downs });
  await bfd.close();
  process.disconnect();
}

interface Said {
  ready?: boolean;
  trouble?: string;
  gaps?: number[];
  falseAlarms?: number;
  worstLateMs?: number;
  tables?: number;
  downs?: { atMs: number; sinceMs: number }[];
}

async function whole(): Promise<void> {
  const ip = (...words: string[]): void => void execFileSync('ip', words);
  for (const which of ['a', 'b']) ip('netns', 'add', netns(which));
  const children: ChildProcess[] = [];
  try {
    ip(
      '-n',
      netns('a'),
      'link',
      'add',
      'bench0',
      'type',
      'veth',
      'peer',
      'name',
      'bench0',
      'netns',
      netns('b'),
    );
    for (const [which, host] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      ip('-n', netns(which), 'link', 'set', 'bench0', 'up');
      for (let i = 0; i < sessions; i++)
        ip('-n', netns(which), 'address', 'add', `10.0.${1 + i}.${host}/24`, 'dev', 'bench0');
    }
    await measure(children);
  } finally {
    for (const child of children) child.kill();
    for (const which of ['a', 'b']) ip('netns', 'delete', netns(which));
  }
}

async function measure(children: ChildProcess[]): Promise<void> {
  const heard: Record<string, Said> = { a: {}, b: {} };
  for (const which of ['a', 'b']) {
    const words = [...process.argv.slice(2), '--side', which, '--name', flags.name];
    const child = fork(fileURLToPath(import.meta.url), words);
    child.on('message', (said: Said) => {
      if (said.trouble !== undefined) process.stdout.write(`${which}: ${said.trouble}\n`);
      Object.assign(heard[which]!, said);
    });
    children.push(child);
  }
  const until = async (holds: () => boolean): Promise<void> => {
    const endMs = performance.now() + 60_000;
    while (!holds()) {
      if (performance.now() > endMs) throw new Error('a side does not answer');
      await sleep(10);
    }
  };
  await until(() => heard.a!.ready === true && heard.b!.ready === true);
  const busy = 'for (let i = 0; ; i++) JSON.parse(JSON.stringify({ i, list: [i, i, i] }));';
  const burners = Array.from({ length: Number(flags.burners) }, () => new Worker(busy, { eval: true }));
  const what = `${sessions} sessions, 3 x ${interval} ms, ${seconds} s, turns of ${flags.turn} ms`;
  process.stdout.write(`${what}, ${burners.length} burners\n`);
  await sleep(seconds * 1000);
  for (const child of children) child.send('cut');
  await until(() => heard.a!.gaps !== undefined && heard.b!.gaps !== undefined);
  const nft = [
    'add table inet cut',
    'add chain inet cut in { type filter hook input priority 0; policy drop; }',
  ];
  const cutMs = Date.now();
  for (const which of ['a', 'b']) execFileSync('ip', ['netns', 'exec', netns(which), 'nft', nft.join('; ')]);
  const cutDoneMs = Date.now();
  await sleep(2000);
  await Promise.all(burners.map((worker) => worker.terminate()));
  for (const child of children) child.send('end');
  await until(() => heard.a!.downs !== undefined && heard.b!.downs !== undefined);
  for (const [which, name] of [
    ['a', 'under load'],
    ['b', 'its peer'],
  ] as const) {
    const { gaps, falseAlarms, worstLateMs, tables, downs } = heard[which]!;
    const worst = Math.max(...gaps!).toFixed(1);
    const most = (of: (down: { atMs: number; sinceMs: number }) => number): string =>
      (Math.max(...downs!.map(of)) - cutMs).toFixed(0);
    process.stdout.write(
      `${name.padEnd(10)}  false alarms ${falseAlarms}  longest silence heard ${worst} ms of ${3 * interval}  ` +
        `worst lateness ${worstLateMs!.toFixed(1)} ms  tables loaded ${tables}\n` +
        `            after the cut (which took ${cutDoneMs - cutMs} ms): ${downs!.length} of ${sessions} down, ` +
        `the last after ${most((down) => down.sinceMs)} ms in the thread, ${most((down) => down.atMs)} ms in the main thread\n`,
    );
  }
}

await (flags.side === undefined ? whole() : side(flags.side as 'a' | 'b'));

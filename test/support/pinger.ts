// A ping that runs until it is stopped, and says how long the longest silence was. Where packets were lost it is the time
// between the answers before and after; where none was, how late an answer came. A sender that had to wait for its turn
// on a busy machine is no silence of the network.

import { spawn } from 'node:child_process';

export interface PingReport {
  readonly to: string;
  readonly sent: number;
  readonly lost: number;
  /** In milliseconds; one at the end lasts until the pinger was stopped. */
  readonly longestGapMs: number;
}

export interface Pinger {
  /** Ends it; resolves when the last answers are in. */
  stop(): Promise<PingReport>;
}

const EVERY_MS = 15;
/** How long the end waits for one more answer: a silence that lasts counts as long as it has lasted by then. */
const LAST_ANSWER_MS = 1500;

/** Packets at the very end whose answers may still be on their way. */
const UNDER_WAY = 4;

/** Pings from a namespace, every 15 ms, from a source of its own. Resolves when the first answer is there. */
export async function startPing(netns: string, to: string, source?: string): Promise<Pinger> {
  const from = source === undefined ? [] : ['-I', source];
  const words = ['netns', 'exec', netns, 'ping', '-n', '-D', '-i', String(EVERY_MS / 1000), ...from, to];
  const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let heard = () => {};
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (/icmp_seq=\d+ ttl/.test(chunk)) heard();
    });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`no answer from ${to} within 5 s: ${text.slice(-500)}`));
    }, 5000);
    heard = () => {
      clearTimeout(timer);
      heard = () => {};
      resolve();
    };
  });
  return {
    stop: async () => {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LAST_ANSWER_MS);
        heard = () => {
          clearTimeout(timer);
          heard = () => {};
          resolve();
        };
      });
      const endMs = Date.now();
      child.kill('SIGINT');
      await ended;
      return reportOf(to, text, endMs);
    },
  };
}

function reportOf(to: string, text: string, endMs: number): PingReport {
  const sent = Number(/(\d+) packets transmitted/.exec(text)?.[1]);
  const lines = text.matchAll(/^\[(\d+\.\d+)\] \d+ bytes .*icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms/gm);
  const answers = [...lines].map(([, at, sequence, rtt]) => ({
    atMs: Number(at) * 1000,
    sequence: Number(sequence),
    rttMs: Number(rtt),
  }));
  if (!(sent > 0) || answers.length === 0) throw new Error(`ping ${to}: ${text.slice(-500)}`);
  const answered = new Set(answers.map(({ sequence }) => sequence));
  let lost = 0;
  for (let sequence = answers[0]!.sequence; sequence <= sent - UNDER_WAY; sequence++)
    if (!answered.has(sequence)) lost++;
  const last = answers.at(-1)!;
  let longestGapMs = last.sequence < sent - UNDER_WAY ? endMs - last.atMs : 0;
  for (const [index, { atMs, sequence, rttMs }] of answers.entries()) {
    const before = answers[index - 1];
    const whole = before === undefined || sequence === before.sequence + 1;
    longestGapMs = Math.max(longestGapMs, whole ? rttMs : atMs - before.atMs);
  }
  return { to, sent, lost, longestGapMs: Math.round(longestGapMs) };
}

/** `192.0.2.30: 4 of 300 lost, longest silence 95 ms`. */
export const describePing = ({ to, sent, lost, longestGapMs }: PingReport): string =>
  `${to}: ${lost} of ${sent} lost, longest silence ${longestGapMs} ms`;

/** Several at once while something happens. */
export async function pingsDuring<T>(
  flows: readonly { netns: string; to: string; source?: string }[],
  event: () => Promise<T>,
): Promise<{ reports: PingReport[]; event: T }> {
  const pingers = await Promise.all(flows.map(({ netns, to, source }) => startPing(netns, to, source)));
  try {
    const happened = await event();
    return { reports: await Promise.all(pingers.map((one) => one.stop())), event: happened };
  } catch (error) {
    await Promise.allSettled(pingers.map((one) => one.stop()));
    throw error;
  }
}

// The other end of talker.mjs: starts one in a namespace and asks it.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './fabric.ts';

export interface TalkerSession {
  name: string;
  role: 'source' | 'watcher';
  /** Addresses of the namespace and of the daemon. */
  local: string;
  remote: string;
  /** The dump's own AS where absent. */
  asn?: number;
}

export interface TalkerState {
  established: boolean;
  timesUp: number;
  updates: number;
  lastWords: string;
  prefixes: number;
}

export interface Comparison {
  prefixes: number;
  counts: { missing: number; foreign: number; different: number };
  /** The first few of each. */
  missing: string[];
  foreign: string[];
  different: string[];
  /** Of the missing, those whose path has an AS_SET. */
  missingWithSets: number;
  /** What stands in front of the paths. */
  front: string[];
  nextHops: string[];
  meds: number;
}

export interface Talker {
  /** What the dump comes to. */
  readonly dump: { prefixes: number; sets: number; withSets: number; asn: number };
  start(session: string): Promise<void>;
  stop(session: string): Promise<void>;
  cut(session: string): Promise<void>;
  state(session: string): Promise<TalkerState>;
  /**
   * The table of a session without `behind` ASes in front, against the dump: as it is, or without the AGGREGATORs of AS 0
   * that it has (RFC 7607).
   */
  compare(session: string, behind: number, keepsAsZero?: boolean): Promise<Comparison>;
  end(): Promise<void>;
}

/** Starts a talker in a namespace; `limit` takes that many prefixes of the dump, evenly chosen. */
export async function startTalker(
  netns: string,
  dump: { file: string; limit?: number },
  sessions: readonly TalkerSession[],
): Promise<Talker> {
  const script = join(root, 'test', 'support', 'talker.mjs');
  const argument = JSON.stringify({ dump, sessions });
  const child = spawn('ip', ['netns', 'exec', netns, process.execPath, script, argument], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async <T>(): Promise<T> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the talker has ended');
    return JSON.parse(value as string) as T;
  };
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const first = await answer<Talker['dump']>();
  // One question at a time: answers come in their order.
  let turn: Promise<unknown> = Promise.resolve();
  const ask = <T>(command: Record<string, unknown>): Promise<T> => {
    const asked = turn.then(() => {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      return answer<T>();
    });
    turn = asked.catch(() => {});
    return asked;
  };
  return {
    dump: first,
    start: (session) => ask({ do: 'start', session }),
    stop: (session) => ask({ do: 'stop', session }),
    cut: (session) => ask({ do: 'cut', session }),
    state: (session) => ask({ do: 'state', session }),
    compare: (session, behind, keepsAsZero = false) => ask({ do: 'compare', session, behind, keepsAsZero }),
    end: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

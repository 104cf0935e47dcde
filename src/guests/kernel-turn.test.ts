// What is asked of the kernel and of BGP within a turn, and in which order it is done.

import { beforeEach, expect, test } from 'vitest';
import { formatIp } from '../net/ip.ts';
import { ip, mac, port } from './fake-host.test-data.ts';
import { KernelTurn } from './kernel-turn.ts';
import type { GuestPort } from './ports.ts';

let done: string[];
let turn: KernelTurn;
let settledMetric: number;

const bind = (on: GuestPort, address: string, fresh = false, sequence = 0): void =>
  turn.bind({ address: ip(address), port: on, mac: mac(on.ifindex), sequence, fresh });

/** What the turn does when it ends, after what was done before that. */
function flushed(): string[] {
  turn.flush();
  return done.splice(0);
}

beforeEach(() => {
  done = [];
  settledMetric = 1024;
  turn = new KernelTurn(
    {
      setPorts: (wishes) => {
        for (const { name, macs, addresses } of wishes) {
          const all = addresses.map(({ address }) => formatIp(address)).join(' ');
          done.push(`port ${name} with ${macs.length} MACs: ${all}`);
        }
        done.push('written');
      },
      removePorts: (ifindexes) => done.push(`ports gone: ${ifindexes.join(' ')}`),
    },
    {
      set: (address, { ifindex, sequence, metric }) =>
        done.push(`route ${formatIp(address)} on ${ifindex}, sequence ${sequence}, metric ${metric}`),
      remove: (address) => done.push(`no route ${formatIp(address)}`),
    },
    (fresh) => (fresh ? 512 : settledMetric),
  );
});

test('all ports are one batch, and routes come after it', () => {
  for (const n of [5, 6]) {
    turn.admit(port(n), [mac(n)]);
    bind(port(n), `192.0.2.${n}`, n === 6, n);
  }
  expect(done).toEqual([]);
  expect(flushed()).toEqual([
    'port tap5 with 1 MACs: 192.0.2.5',
    'port tap6 with 1 MACs: 192.0.2.6',
    'written',
    'route 192.0.2.5 on 1, sequence 5, metric 1024',
    'route 192.0.2.6 on 1, sequence 6, metric 512',
  ]);
  expect(flushed()).toEqual([]);
});

test('a route is withdrawn at once, and not announced if it came in the same turn', () => {
  bind(port(5), '192.0.2.5');
  turn.unbind(ip('192.0.2.5'));
  expect(done).toEqual(['no route 192.0.2.5']);
  expect(turn.size).toBe(0);
  expect(flushed()).toEqual(['no route 192.0.2.5', 'port tap5 with 0 MACs: ', 'written']);
  turn.unbind(ip('192.0.2.5'));
  expect(flushed()).toEqual([]);
});

test('an address that goes to another port leaves the first in the same batch', () => {
  bind(port(5), '192.0.2.5');
  flushed();
  bind(port(6), '192.0.2.5', false, 1);
  expect(turn.portOf(ip('192.0.2.5'))).toBe(6);
  expect(flushed()).toEqual([
    'port tap5 with 0 MACs: ',
    'port tap6 with 0 MACs: 192.0.2.5',
    'written',
    'route 192.0.2.5 on 1, sequence 1, metric 1024',
  ]);
});

test('ports that went come before ports that changed, and one with the same index again is no more gone', () => {
  turn.admit(port(5), [mac(5)]);
  turn.admit(port(6), [mac(6)]);
  flushed();
  turn.forget(5);
  turn.admit(port(6), []);
  expect(flushed()).toEqual(['ports gone: 5', 'port tap6 with 0 MACs: ', 'written']);
  turn.forget(6);
  turn.admit(port(6, { name: 'tap7' }), []);
  expect(flushed()).toEqual(['port tap7 with 0 MACs: ', 'written']);
});

test('another metric repeats all routes', () => {
  bind(port(5), '192.0.2.5');
  flushed();
  settledMetric = 2000;
  turn.repeatAll();
  expect(flushed()).toContain('route 192.0.2.5 on 1, sequence 0, metric 2000');
});

test('all addresses are withdrawn where there are to be no guests', () => {
  bind(port(5), '192.0.2.5');
  bind(port(6), '2001:db8::6');
  flushed();
  turn.unbindAll();
  expect(done).toEqual(['no route 192.0.2.5', 'no route 2001:db8::6']);
});

test('a frame that came in by the bridge is of the port that its MAC is let through on', () => {
  turn.admit(port(5), [mac(5)]);
  expect(turn.portBehind(1, mac(5))).toBe(5);
  expect(turn.portBehind(1, mac(6))).toBeUndefined();
  expect(turn.portBehind(2, mac(5))).toBeUndefined();
  expect(turn.portBehind(5, mac(5))).toBeUndefined();
  expect([turn.mayHave(5, mac(5)), turn.mayHave(5, mac(6)), turn.mayHave(9, mac(6))]).toEqual([
    true,
    false,
    true,
  ]);
});

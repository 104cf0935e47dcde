// leafctl passthrough as people and scripts meet it, against the real API server with a fake node behind it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EventRing } from '../api/events.ts';
import { type FakeBackend, fakeBackend } from '../api/fake-backend.ts';
import { fakePassthrough, fakePassthroughView } from '../api/fake-passthrough.ts';
import { type ApiServer, startApi } from '../api/server.ts';
import type { PassthroughView } from '../api/views.ts';
import { run } from './main.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-cli-passthrough-'));
const socket = join(folder, 'leafd.sock');
let backend: FakeBackend;
let server: ApiServer;

beforeAll(async () => {
  const forwarding = new Proxy({} as FakeBackend, { get: (_, key) => backend[key as keyof FakeBackend] });
  server = await startApi({ backend: forwarding, events: new EventRing(() => 0), socket, onBug: () => {} });
});
beforeEach(() => {
  backend = fakeBackend();
  backend.passthrough = fakePassthrough(backend.asked);
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function leafctl(...words: string[]) {
  const outcome = { code: -1, out: '', err: '' };
  outcome.code = await run(words, {
    out: (text) => (outcome.out += text),
    err: (text) => (outcome.err += text),
    colour: words.includes('--colour'),
    env: { LEAFCTL_SOCKET: socket },
    interrupted: new AbortController().signal,
  });
  return outcome;
}

const show = (view: Partial<PassthroughView>): void => {
  backend.passthrough!.shown = { ...fakePassthroughView, ...view };
};

const page = `namespace     perouter
state         degraded: 1 of 3 sessions not up: bird no answer
trial         eth1 confirmed
node index    0
veth          pt-host 192.169.10.2/24 fd00:10::2/64 mtu 9000 up - pt-ns 192.169.10.1/24 fd00:10::1/64 mtu 9000 up
routes        to the fabric 6 ipv4, 2 ipv6; to the host 21 ipv4, 0 ipv6
openperouter  not Ready: ConfigurationFailed: 1 resource failed

Uplink    Mode      Of    State    Place   Link   MTU  Addresses        Why
eth1      move            done     router  up    9000  192.168.11.3/24
eth0.100  vlan 100  eth0  pending  absent                               there is no eth0

Session       With  Side       AS   Up/Down  State        BFD  Families   |#Received  Accepted  Advertised  Why
192.168.11.2  eth1  fabric  64512  01:02:05  Established  up   ipv4/ipv6       20/10     19/10         6/2
frr-ipv4      frr   host    64515  01:02:05  Established       ipv4                5         5          21
bird          bird  host    64516  01:02:05  Connect           ipv4                                         no answer

Resource           State        Reason            Message                              Where
Underlay/underlay  applied                                                             configs/openpe_a.yaml:2
L3VNI/red          failed       ValidationFailed  vni must be from 1 to 16777215       configs/openpe_b.yaml:2
RawFRRConfig/raw   unsupported                    leafd has no FRR that could take it  configs/openpe_b.yaml:9
`;

describe('looking', () => {
  test('one page', async () => {
    expect(await leafctl('passthrough')).toEqual({ code: 0, out: page, err: '' });
    expect(JSON.parse((await leafctl('-j', 'passthrough')).out)).toEqual(fakePassthroughView);
  });

  test.each([
    ['up', 0],
    ['degraded', 0],
    ['down', 1],
    ['rolledBack', 1],
  ] as const)('%s is exit %i', async (state, code) => {
    show({ state });
    expect((await leafctl('passthrough')).code).toBe(code);
  });

  test('a trial tells how long it has, or why it was taken back', async () => {
    show({ trial: { state: 'running', uplinks: ['eth1'], remainingSeconds: 42 } });
    expect((await leafctl('passthrough')).out).toContain(
      'trial         eth1 on trial, 42 s left: taken back unless a session of the fabric comes up\n',
    );
    const since = '2026-01-02T03:04:05.000Z';
    show({ trial: { state: 'rolledBack', uplinks: ['eth1'], reason: 'the operator said so', since } });
    expect((await leafctl('passthrough')).out).toContain(
      'trial         eth1 taken back at 2026-01-02T03:04:05.000Z\n' +
        '              tried again by leafctl passthrough retry, by another configuration, and when leafd starts\n',
    );
  });

  test('the least there can be: no leg to the host, no trial, no resources', async () => {
    const { veth: _, openperouter: __, ...rest } = fakePassthroughView;
    backend.passthrough!.shown = {
      ...rest,
      made: false,
      trial: { state: 'none', uplinks: [] },
      uplinks: [],
      sessions: [],
      warnings: ['the namespace is shared'],
      failures: [{ what: 'veth pt-host', error: 'EEXIST: File exists' }],
    };
    expect((await leafctl('passthrough')).out).toBe(`namespace   perouter, made by others
state       degraded: 1 of 3 sessions not up: bird no answer
node index  0
routes      to the fabric 6 ipv4, 2 ipv6; to the host 21 ipv4, 0 ipv6
warning     the namespace is shared

Failed        Error
veth pt-host  EEXIST: File exists
`);
  });

  test('an end of the veth pair that is not there says so', async () => {
    const { host, router } = fakePassthroughView.veth!;
    show({ veth: { host: { ...host, present: false }, router: { ...router, error: 'EBUSY' } } });
    expect((await leafctl('passthrough')).out).toContain('veth          pt-host absent - pt-ns EBUSY\n');
  });

  test('a problem of a file that is no resource has its place', async () => {
    const where = { file: 'node-config.yaml', line: 1, column: 1 };
    const openperouter = {
      ...fakePassthroughView.openperouter!,
      problems: [{ where, path: 'nodeIndex', reason: 'must be a number' }],
    };
    show({ openperouter });
    expect((await leafctl('passthrough')).out).toContain(
      'node-config.yaml:1:1: nodeIndex: must be a number\n',
    );
  });

  test('the status has a line', async () => {
    expect((await leafctl('status')).out).toContain(
      'passthrough  degraded in perouter, 1 of 1 sessions with the fabric, 1 of 2 with the host\n',
    );
    show({ trial: { state: 'running', uplinks: ['eth1'], remainingSeconds: 42 } });
    expect((await leafctl('status')).out).toContain('with the host, on trial for 42 s more\n');
    backend.passthrough = undefined;
    expect((await leafctl('status')).out).not.toContain('passthrough');
  });

  test('none here', async () => {
    backend.passthrough = undefined;
    expect(await leafctl('passthrough')).toEqual({
      code: 1,
      out: '',
      err:
        'leafctl: there is no passthrough here\n' +
        'hint: passthrough: in leafd.yaml puts the speaker into a router namespace\n',
    });
  });
});

describe('acting', () => {
  test.each([
    ['confirm', 'confirm'],
    ['rollback', 'rollBack'],
  ])('%s while a trial runs', async (name, action) => {
    show({ trial: { state: 'running', uplinks: ['eth1'], remainingSeconds: 42 } });
    expect(await leafctl('passthrough', name)).toEqual({ code: 0, out: `${action} is done\n`, err: '' });
    expect(backend.asked).toEqual([`passthrough ${action}`]);
  });

  test('what means nothing now is refused', async () => {
    expect(await leafctl('passthrough', 'retry')).toEqual({
      code: 5,
      out: '',
      err: 'leafctl: nothing was taken back that could be tried again\n' + 'hint: leafctl passthrough\n',
    });
  });

  test('a word that is no action is a usage error', async () => {
    expect((await leafctl('passthrough', 'destroy')).code).toBe(2);
    expect(backend.asked).toEqual([]);
  });

  test('the shell completes it', async () => {
    expect((await leafctl('__complete', '--', 'pas')).out).toBe('passthrough\n');
    expect((await leafctl('__complete', '--', 'passthrough', 'r')).out.split('\n').sort()).toEqual([
      '',
      'retry',
      'rollback',
    ]);
  });
});

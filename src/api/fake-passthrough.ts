// A node with passthrough as in OpenPERouter's quick start, for tests of the API and of leafctl's rendering: a NIC that
// moved and a VLAN of one that did not, two speakers of the host of which one has not come.

import type { PassthroughBackend } from './backend.ts';
import type { MetricsSource } from './metrics.ts';
import type { PassthroughAction, PassthroughSessionView, PassthroughView } from './views.ts';

const started = '2026-01-02T03:04:05.000Z';

const up: Omit<PassthroughSessionView, 'peer' | 'side' | 'remoteAs' | 'byFamily'> = {
  kind: 'address',
  dynamic: false,
  state: 'established',
  adminDown: false,
  since: started,
  sinceSeconds: 3725,
};

const sessions: PassthroughSessionView[] = [
  {
    ...up,
    peer: '192.168.11.2',
    side: 'fabric',
    uplink: 'eth1',
    address: '192.168.11.2',
    hostname: 'leafkind',
    remoteAs: '64512',
    remoteAsn: 64512,
    byFamily: [
      { family: 'ipv4', received: 20, accepted: 19, advertised: 6 },
      { family: 'ipv6', received: 10, accepted: 10, advertised: 2 },
    ],
    bfd: 'up',
  },
  {
    ...up,
    peer: 'frr-ipv4',
    side: 'host',
    speaker: 'frr',
    address: '192.169.10.2',
    remoteAs: '64515',
    remoteAsn: 64515,
    byFamily: [{ family: 'ipv4', received: 5, accepted: 5, advertised: 21 }],
  },
  {
    ...up,
    peer: 'bird',
    side: 'host',
    speaker: 'bird',
    address: '192.169.10.3',
    remoteAs: '64516',
    state: 'connect',
    byFamily: [{ family: 'ipv4', received: 0, accepted: 0, advertised: 0 }],
    reason: 'no answer',
  },
];

export const fakePassthroughView: PassthroughView = {
  netns: 'perouter',
  made: true,
  nodeIndex: 0,
  state: 'degraded',
  reason: { code: 'sessionsDown', text: '1 of 3 sessions not up: bird no answer' },
  trial: { state: 'confirmed', uplinks: ['eth1'] },
  uplinks: [
    {
      name: 'eth1',
      parent: 'eth1',
      mode: 'move',
      state: 'done',
      place: 'router',
      mac: '02:00:5e:00:53:01',
      mtu: 9000,
      addresses: ['192.168.11.3/24', 'fe80::5eff:fe00:5301/64'],
      up: true,
      carrier: true,
      movedAt: started,
      saved: { addresses: 2, routes: 1 },
    },
    {
      name: 'eth0.100',
      parent: 'eth0',
      mode: 'vlan',
      vlan: 100,
      state: 'pending',
      place: 'absent',
      addresses: [],
      up: false,
      carrier: false,
      error: 'there is no eth0',
    },
  ],
  veth: {
    host: {
      name: 'pt-host',
      present: true,
      up: true,
      mac: '02:00:5e:00:53:10',
      mtu: 9000,
      addresses: ['192.169.10.2/24', 'fd00:10::2/64'],
    },
    router: {
      name: 'pt-ns',
      present: true,
      up: true,
      mac: '02:00:5e:00:53:11',
      mtu: 9000,
      addresses: ['192.169.10.1/24', 'fd00:10::1/64'],
    },
  },
  sessions,
  routes: { toHost: { ipv4: 21, ipv6: 0 }, toFabric: { ipv4: 6, ipv6: 2 } },
  sysctls: [{ name: 'net.ipv4.conf.all.forwarding', value: '1', before: '0' }],
  failures: [],
  warnings: [],
  openperouter: {
    conditions: [
      { type: 'Ready', status: 'False', reason: 'ConfigurationFailed', message: '1 resource failed' },
      { type: 'Degraded', status: 'True', reason: 'ConfigurationFailed', message: '1 resource failed' },
    ],
    failedResources: [
      {
        kind: 'L3VNI',
        name: 'red',
        reason: 'ValidationFailed',
        message: 'vni must be from 1 to 16777215',
      },
    ],
    resources: [
      {
        kind: 'Underlay',
        name: 'underlay',
        where: { file: 'configs/openpe_a.yaml', line: 2, column: 5 },
        state: 'applied',
      },
      {
        kind: 'L3VNI',
        name: 'red',
        where: { file: 'configs/openpe_b.yaml', line: 2, column: 5 },
        state: 'failed',
        reason: 'ValidationFailed',
        message: 'vni must be from 1 to 16777215',
      },
      {
        kind: 'RawFRRConfig',
        name: 'raw',
        where: { file: 'configs/openpe_b.yaml', line: 9, column: 5 },
        state: 'unsupported',
        message: 'leafd has no FRR that could take it',
      },
    ],
    problems: [],
  },
};

export interface FakePassthrough extends PassthroughBackend {
  shown: PassthroughView;
}

/** Records what it is asked; a trial can be confirmed or taken back while it runs. */
export function fakePassthrough(asked: string[]): FakePassthrough {
  const fake: FakePassthrough = {
    shown: fakePassthroughView,
    view: () => fake.shown,
    act: (action: PassthroughAction) => {
      asked.push(`passthrough ${action}`);
      const { state } = fake.shown.trial;
      const fits = action === 'retry' ? state === 'rolledBack' : state === 'running';
      return fits ? { action, text: `${action} is done` } : undefined;
    },
  };
  return fake;
}

/** Two peers, the second with a name that has to be escaped, and BFD of the first. */
export const fakeMetrics: MetricsSource = {
  version: '0.1.0',
  peers: () => [
    {
      peer: 'eth0',
      up: true,
      announced: 7,
      received: 12,
      messagesSent: [0, 1, 5, 0, 1240, 2],
      messagesReceived: [0, 1, 9, 3, 1238, 0],
      bfd: { up: true, packetsIn: 4000, packetsOut: 4100 },
    },
    {
      peer: 'a "b\\c\nd',
      up: false,
      announced: 0,
      received: 0,
      messagesSent: [0, 0, 0, 0, 0, 0],
      messagesReceived: [0, 0, 0, 0, 0, 0],
    },
  ],
  *kernel() {
    yield undefined;
    return { installed: 18, pending: 0, failed: 0, leftover: 0 };
  },
  process: { residentBytes: 60_000_000, cpuSeconds: 1.5, startSeconds: 1_767_323_045, loopBusySeconds: 0.25 },
};

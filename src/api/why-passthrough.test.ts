// Whatever an operator of passthrough names has an answer: uplinks, speakers, neighbours behind an uplink that is away.

import { describe, expect, test } from 'vitest';
import { fakePassthroughView } from './fake-passthrough.ts';
import type { PassthroughView, WhyView } from './views.ts';
import { whyPassthrough } from './why-passthrough.ts';

const [eth1] = fakePassthroughView.uplinks;
const [tor] = fakePassthroughView.sessions;
const peer = (thing: string): WhyView => ({
  thing,
  kind: 'peer',
  summary: `${thing} is a peer`,
  paths: [],
  advertised: [],
  steps: [{ code: 'first', text: 'what the router says' }],
});
const rolledBack: PassthroughView = {
  ...fakePassthroughView,
  state: 'rolledBack',
  trial: { state: 'rolledBack', uplinks: ['eth1'] },
  uplinks: [{ ...eth1!, state: 'pending', place: 'home', error: 'rolled back to the host: no session' }],
  sessions: [{ ...tor!, state: 'idle', reason: 'no route' }],
};
const textsOf = (view: WhyView | undefined) => view?.steps?.map(({ text }) => text);

describe('why', () => {
  test('an uplink has its sessions, though the router knows it as an interface without a peer', () => {
    const view = whyPassthrough(fakePassthroughView, 'eth1', peer('eth1'));
    expect(view?.summary).toBe('eth1 is an uplink of the router in perouter');
    expect(textsOf(view)).toEqual(['eth1 is in perouter and up', '192.168.11.2 is Established']);
  });

  test('the NIC of a VLAN is found by its own name, and what is missing is told', () => {
    const view = whyPassthrough(fakePassthroughView, 'eth0', undefined);
    expect(view?.summary).toBe('eth0 is the uplink eth0.100, vlan of eth0 of the router in perouter');
    expect(textsOf(view)).toEqual([
      'eth0.100: there is no eth0',
      'no neighbour is on its networks, nor configured by its name',
    ]);
  });

  test('a speaker has a session for each family', () => {
    const view = whyPassthrough(fakePassthroughView, 'frr', undefined);
    expect(view?.summary).toBe('frr is a speaker of this host, 1 of 1 sessions established');
    expect(textsOf(view)).toEqual(['frr-ipv4 is Established']);
  });

  test('a neighbour behind a NIC that was taken back: where the NIC is, and the way out', () => {
    expect(textsOf(whyPassthrough(rolledBack, '192.168.11.2', peer('192.168.11.2')))).toEqual([
      'what the router says',
      'eth1 is in the host, not in perouter: rolled back to the host: no session',
      'tried again by `leafctl passthrough retry`, by another configuration, and when leafd starts',
    ]);
  });

  test('a session that is up, anything else, and no passthrough: as it was', () => {
    const found = peer('192.168.11.2');
    expect(whyPassthrough(fakePassthroughView, '192.168.11.2', found)).toBe(found);
    expect(whyPassthrough(fakePassthroughView, '10.0.0.0/8', undefined)).toBeUndefined();
    expect(whyPassthrough(undefined, 'eth1', found)).toBe(found);
  });
});

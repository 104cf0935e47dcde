import { describe, expect, test } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { exportReasonNames } from '../rib/export-stage.ts';
import { reasonNames } from '../rib/reason.ts';
import {
  defaultPeerSettings,
  defaultRouterSettings,
  type PeerConfig,
  type PeerSettings,
} from '../router/config.ts';
import { Router } from '../router/router.ts';
import { peerViews, waitingDetailView } from './peer-views.ts';
import { reasonTexts, stepTexts } from './reason-texts.ts';
import { whyOther } from './why-other.ts';

const settings: PeerSettings = {
  ...defaultPeerSettings,
  remoteAs: { kind: 'any' },
  families: 3,
  holdTimeMs: 9000,
  connectRetryMs: 1000,
  passive: true,
};

function routerWith(peers: PeerConfig[]): Router {
  const nothing = (): void => {};
  const router = new Router(
    {
      ...defaultRouterSettings,
      nodeName: 'a',
      asn: 65001,
      bgpId: 0x0a000001,
      profile: 'fabric',
      networks: [],
      redistribute: {},
      peers,
    },
    { nowMs: () => 0 },
    {
      connect: nothing,
      close: nothing,
      send: () => true,
      wake: nothing,
      event: nothing,
      jitter: () => 1,
      discover: nothing,
      setKey: nothing,
    },
  );
  router.start();
  router.linkChanged({ ifindex: 2, name: 'num1', up: true });
  router.linkChanged({ ifindex: 3, name: 'eth1', up: true });
  const connected = { length: 24, source: 'connected', metric: 0, ifindex: 2, protocol: 2 } as const;
  router.kernelRouteAdded({ ...connected, bytes: parseIp('10.1.0.0')! });
  const gateway = parseIp('10.1.0.254')!;
  router.kernelRouteAdded({ ...connected, source: 'kernel', bytes: new Uint8Array(4), length: 0, gateway });
  return router;
}

const range: PeerConfig = { ...settings, kind: 'range', range: parsePrefix('10.4.0.0/24')!, limit: 7 };
const pattern: PeerConfig = { ...settings, kind: 'interface', pattern: 'eth*' };

describe('what is no route and no session', () => {
  const router = routerWith([range, pattern]);
  const textsOf = (thing: string): string[] => {
    const why = whyOther(router, thing);
    return why === undefined ? [] : [why.summary, ...(why.steps ?? []).map((one) => one.text)];
  };

  test('every row of the list of peers can be asked for', () => {
    const rows = peerViews(router, { originMs: 0, nowMs: () => 0 }).map((one) => one.name);
    expect(rows).toEqual(['eth1', '10.4.0.0/24']);
    expect(waitingDetailView(router, '10.4.0.0/24')).toMatchObject({
      state: 'idle',
      reason: 'nobody has come',
    });
    expect(waitingDetailView(router, 'eth*')).toMatchObject({ reason: '1 here: eth1' });
    expect(waitingDetailView(router, 'num1')).toBeUndefined();
  });

  test('a range tells who may come, a pattern whom it brought', () => {
    expect(textsOf('10.4.0.0/24').join('\n')).toMatch(
      /any may come from 10.4.0.0\/24, at most 7.*nobody has come/s,
    );
    expect(textsOf('eth*').join('\n')).toMatch(/matches eth\*.*there are eth1/s);
  });

  test('a range that has a name is told with its prefix', () => {
    const why = whyOther(routerWith([{ ...range, name: 'guests' }]), 'guests')!;
    expect(why.steps![0]!.text).toContain('may come from 10.4.0.0/24');
  });

  test('an interface tells which patterns do not match it', () => {
    expect(textsOf('num1')).toEqual([
      'num1 is an interface without a peer',
      'the link is up',
      'no interface of a peer matches it: eth*',
    ]);
    expect(whyOther(router, 'num9')).toBeUndefined();
  });

  test('routes of the kernel: exact prefix, longest match, default', () => {
    expect(textsOf('10.1.0.0/24')[0]).toBe('10.1.0.0/24 is connected on num1, learned from no peer');
    expect(textsOf('10.1.0.9')[0]).toContain('10.1.0.0/24 is connected');
    expect(textsOf('8.8.8.8')[0]).toContain('0.0.0.0/0 is a route of the kernel via 10.1.0.254 on num1');
    expect(textsOf('10.1.0.9')).toContain('it is not announced: redistribute.connected is not configured');
    expect(whyOther(router, '10.1.0.0/25')).toBeUndefined();
    expect(whyOther(router, '2001:db8::1')).toBeUndefined();
  });
});

test('a peer on an interface that is not there says so', () => {
  const peer: PeerConfig = { ...settings, kind: 'address', address: parseIp('fe80::1')!, interface: 'nope1' };
  const [view] = peerViews(routerWith([peer]), { originMs: 0, nowMs: () => 0 });
  expect(view).toMatchObject({ name: 'fe80::1%nope1', reason: 'there is no interface nope1' });
});

test('every reason has a sentence', () => {
  const codes = [...reasonNames, ...exportReasonNames.filter((one) => one !== 'policy')];
  expect(codes.filter((code) => reasonTexts[code] === undefined)).toEqual([]);
  const steps = reasonNames.slice(reasonNames.indexOf('weight'));
  expect(steps.filter((code) => stepTexts[code] === undefined)).toEqual([]);
});

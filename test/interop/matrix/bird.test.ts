// The matrix for BIRD. Where it lacks something its user's guide says so: the section of the protocol lists every RFC,
// channel and option there is.

import { birdc, eye, fabric } from './bird.lab.ts';
import { agree, cell, holds, leafd, one, peer, sharedCells, some, without, witness } from './cells.ts';
import { type Cells, matrix, routes } from './harness.ts';

const w = witness(eye);
const lacks = (what: string) => ({ lacks: `BIRD 2.0 User's Guide, section 6.3 BGP: ${what}` });

/** A route of another family as BIRD has it, in its table. */
const inTable =
  (table: string, ...words: string[]) =>
  () =>
    birdc('p', 'show', 'route', 'table', table, 'all', ...words);
const ofFamily = (node: string, family: string, name: string) => () =>
  routes(fabric, node, { family, peer: name, received: true });

/** What GoBGP told `b` comes to BIRD, and what BIRD has to `c`. */
const reflected = (family: string, table: string, inBird: RegExp, inLeafd: RegExp) =>
  cell(() =>
    agree(
      leafd('b has it of GoBGP', ofFamily('b', family, 'g'), inLeafd),
      peer(
        'BIRD has it of b',
        inTable(table),
        inBird,
        /BGP.originator_id: 10.254.0.64/,
        /BGP.cluster_list: 10.254.0.2/,
      ),
      leafd('c has it of b', ofFamily('c', family, 'b'), inLeafd),
    ),
  );

const cells: Cells = {
  ...sharedCells(eye),
  unnumbered: { seenIn: 'test/interop/mixed.test.ts', test: 'IPv4 goes over IPv6 next hops to FRR and BIRD' },
  'link-local-next-hop': lacks('the capability is not among those it has'),
  vpnv4: reflected(
    'vpnv4',
    'vpntab4',
    /65000:64 33\.65\.1\.0\/24[\s\S]*BGP.ext_community: \(rt, 65000, 64\)[\s\S]*BGP.mpls_label_stack: 100/,
    /33\.65\.1\.0\/24.*"labels":\[100\]/,
  ),
  vpnv6: reflected(
    'vpnv6',
    'vpntab6',
    /65000:64 2001:db8:65::\/48[\s\S]*BGP.mpls_label_stack: 101/,
    /2001:db8:65::\/48.*"labels":\[101\]/,
  ),
  'evpn-mac-ip': lacks('no EVPN channel'),
  'evpn-multicast': lacks('no EVPN channel'),
  'evpn-ip-prefix': lacks('no EVPN channel'),
  rtc: lacks('no channel of route targets'),
  flowspec4: cell(() =>
    agree(
      peer(
        'BIRD has it of b',
        inTable('flowtab4', 'where', 'source', '=', 'RTS_BGP'),
        /flow4 \{ dst 33\.67\.1\.0\/24;.*dport 80; \}/,
        /generic, 0x80060000, 0x0/,
      ),
      leafd(
        'b has that of BIRD',
        ofFamily('b', 'flowspec4', 'w70'),
        '20.70.3.0/24',
        '"component":"destinationPort"',
      ),
      leafd('c has that of BIRD', ofFamily('c', 'flowspec4', 'b'), '20.70.3.0/24', '10.254.0.100'),
    ),
  ),
  flowspec6: cell(() =>
    agree(
      peer(
        'BIRD has it of b',
        inTable('flowtab6', 'where', 'source', '=', 'RTS_BGP'),
        /flow6 \{ dst 2001:db8:67::\/48; next header 6; \}/,
      ),
      leafd('b has that of BIRD', ofFamily('b', 'flowspec6', 'w70'), '2001:db8:7003::/48'),
      leafd('c has that of BIRD', ofFamily('c', 'flowspec6', 'b'), '2001:db8:7003::/48'),
    ),
  ),
  'flowspec-vpn': lacks('flow4 and flow6 channels only, without route distinguisher'),
  'enhanced-refresh': cell(async () => {
    const { messages } = await w.view(49);
    await fabric.leafctl('a', 'peer', 'refresh', 'w49');
    await birdc('p', 'reload', 'in', 'w49');
    // Beginning and end are messages of their own. leafd's refresh asks and sends again by itself, marked as well.
    const marked = (seen: { messages: typeof messages }) =>
      seen.messages.received.routeRefresh === messages.received.routeRefresh + 3 &&
      seen.messages.sent.routeRefresh === messages.sent.routeRefresh + 5;
    await agree(
      leafd('requests and marks', () => w.view(49), marked),
      peer(
        'agreed',
        () => eye.session(49),
        /Local capabilities[\s\S]*Enhanced refresh[\s\S]*Neighbor capabilities[\s\S]*Enhanced refresh/,
      ),
    );
    await w.got(49, '20.49.1.0/24', { accepted: true, stale: false });
    await w.sent(49, '10.49.1.0/24', { asPath: '65001' });
  }),
  'gr-helper': cell(
    async () => {
      const seen = () => routes(fabric, 'd', { prefix: '20.90.1.0/24', peer: 'p2', received: true });
      const counted = () => fabric.get('d', '/v1/peers/p2');
      await holds(leafd('d has it', seen, one({ stale: false })));
      await fabric.lab('stop', 'p2', '--kill');
      await holds(leafd('d keeps it', seen, one({ stale: true, accepted: true })));
      await fabric.lab('restart', 'p2');
      await agree(
        leafd('d has it again', seen, one({ stale: false })),
        leafd('End-of-RIB came', counted, '"endOfRibReceived":true', '"stale":0'),
        peer('and BIRD what is of d', () => eye.takes2('10.91.1.0/24'), some({ localPref: 100 })),
      );
    },
    { alone: true },
  ),
  'gr-notification': lacks('RFC 4724 and 9494, not RFC 8538, and no N bit'),
  llgr: { seenIn: 'test/interop/sessions.test.ts', test: 'for the restart time, then as long-lived stale' },
  'paths-limit': lacks('`add paths` without limits'),
  roles: cell(async () => {
    await agree(
      ...w.up(3),
      peer('roles', () => eye.session(3), /Role: customer[\s\S]*Role: provider/),
    );
    await agree(
      ...w.notUp(4, /Role Mismatch/i),
      peer('log', async () => eye.log(), /w4: .*Role mismatch/i),
    );
  }),
  otc: cell(async () => {
    await w.sent(3, '10.3.1.0/24', { otc: 65001, asPath: '65001' });
    await w.sent(56, '10.56.1.0/24', { otc: 65001 });
    await w.got(55, '20.55.1.0/24', { onlyToCustomer: 65000 });
    await w.sent(3, '20.55.1.0/24', { otc: 65000, asPath: '65001 65000' });
    await w.notSent(56, '20.55.1.0/24', 'roleLeak');
  }),
  fqdn: cell(() =>
    agree(
      leafd('name', () => w.view(1), /"hostname":"[^"]+"/),
      peer('name', () => eye.session(1), /Neighbor capabilities[\s\S]*Hostname: leaf-a/),
    ),
  ),
  bfd: {
    seenIn: 'test/interop/bfd.test.ts',
    test: 'the link to %s swallows everything: all its sessions end in time',
  },
  timers: cell(() =>
    agree(
      leafd('negotiated', () => w.view(1), '"negotiated":{"holdSeconds":12,"keepaliveSeconds":4}'),
      peer('negotiated', () => eye.session(1), /Hold timer: +[\d.]+\/12/, /Keepalive timer: +[\d.]+\/4/),
    ),
  ),
  'aggregate-peer': { lacks: "BIRD 2.0 User's Guide, section 6 Protocols: none that aggregates" },
  aigp: cell(async () => {
    await agree(
      peer('sends it', () => eye.tells(70, '20.70.1.0/24'), '20.70.1.0/24'),
      leafd('b has it', () => w.received(70, '20.70.1.0/24'), /[Aa]igp|"code":26/),
      leafd(
        'c has it',
        () => routes(fabric, 'c', { prefix: '20.70.1.0/24', peer: 'b', received: true }),
        /[Aa]igp|"code":26/,
      ),
    );
  }),
  'unknown-attributes': cell(() =>
    agree(
      leafd(
        'has both',
        () => routes(fabric, 'a', { prefix: '33.64.1.0/24', received: true, peer: 'x60' }),
        '"code":99',
      ),
      w.takes(
        59,
        '33.64.1.0/24',
        some({ asPath: '65001 65020' }),
        /BGP\.63 \[t\]: 01 02 03 04/,
        without(/BGP\.64/),
      ),
    ),
  ),
  'extended-parameters': cell(async () => {
    // Multiprotocol, graceful restart, ADD-PATH and long-lived graceful restart take 6, 4, 4 and 7 bytes a family.
    const listed = (seen: string) => {
      const theirs = seen.slice(seen.indexOf('Neighbor capabilities'));
      const families = (title: string) =>
        (new RegExp(`${title}[\\s\\S]*?(?:announced|supported|RX): (.*)`).exec(theirs)?.[1] ?? '').split(' ')
          .length;
      const names = /Hostname: (\S+)/.exec(theirs)![1]!.length;
      const each: [string, number][] = [
        ['Multiprotocol', 6],
        ['Graceful restart', 4],
        ['ADD-PATH', 4],
        ['Long-lived graceful restart', 7],
      ];
      return each.reduce((sum, [title, bytes]) => sum + families(title) * bytes, names) > 255;
    };
    await agree(
      ...w.up(50),
      peer('all capabilities', () => eye.session(50), listed),
    );
  }),
};

matrix(
  'bird',
  { up: () => fabric.up({ waitSeconds: 0 }), down: fabric.down, version: ['bird', '--version'] },
  cells,
);

// Configurations of generated fabric routers: BGP unnumbered on the fabric ports, the loopbacks announced, and the
// addresses of attached hosts, which the lab puts into the kernel as static routes, redistributed. One description,
// written as leafd.yaml and as FRR's, so that a lab can mix the two and compare them.
//
// FRR sees routes that others put into the kernel as `kernel` routes, whatever their protocol number says.

export interface FabricNode {
  readonly name: string;
  readonly kind: 'leafd' | 'frr';
  readonly role: 'spine' | 'leaf';
  readonly asn: number;
  readonly loopback4: string;
  readonly loopback6: string;
  readonly fabricPorts: readonly string[];
  /** All of the fabric is one AS (iBGP). */
  readonly internal: boolean;
  /** Reflects between its clients (RFC 4456); only with `internal`. */
  readonly reflector: boolean;
  readonly holdS: number;
  readonly keepaliveS: number;
  readonly gracefulRestart: boolean;
}

/** leafd.yaml as a plain tree. */
export function leafdFabricConfig(node: FabricNode): Record<string, unknown> {
  const group = {
    remoteAs: node.internal ? 'internal' : 'external',
    timers: { hold: `${node.holdS}s`, keepalive: `${node.keepaliveS}s`, connectRetry: '1s' },
    ...(node.reflector ? { routeReflectorClient: true, nextHopSelf: true } : {}),
    ...(node.internal && !node.reflector ? { nextHopSelf: true } : {}),
  };
  return {
    node: { name: node.name, labels: { role: node.role } },
    bgp: {
      asn: node.asn,
      routerId: node.loopback4,
      loopbacks: [`${node.loopback4}/32`, `${node.loopback6}/128`],
      redistribute: { static: true },
      gracefulRestart: node.gracefulRestart ? { restartTime: '120s', stalePathTime: '360s' } : false,
      profile: 'fabric',
      groups: { fabric: group },
      peers: [{ interface: 'eth*', group: 'fabric' }],
    },
  };
}

/** frr.conf, to be loaded through vtysh. */
export function frrFabricConfig(node: FabricNode): string {
  const remote = node.internal ? 'internal' : 'external';
  const peers = node.fabricPorts.map((port) => ` neighbor ${port} interface peer-group fabric`);
  return [
    'frr defaults datacenter',
    `hostname ${node.name}`,
    `router bgp ${node.asn}`,
    ` bgp router-id ${node.loopback4}`,
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' bgp bestpath as-path multipath-relax',
    ...(node.gracefulRestart ? [' bgp graceful-restart', ' bgp graceful-restart preserve-fw-state'] : []),
    ' neighbor fabric peer-group',
    ` neighbor fabric remote-as ${remote}`,
    ` neighbor fabric timers ${node.keepaliveS} ${node.holdS}`,
    ' neighbor fabric timers connect 1',
    ' neighbor fabric capability extended-nexthop',
    ...peers,
    ...frrFamily('ipv4', `${node.loopback4}/32`, node),
    ...frrFamily('ipv6', `${node.loopback6}/128`, node),
    'exit',
    '',
  ].join('\n');
}

function frrFamily(family: 'ipv4' | 'ipv6', loopback: string, node: FabricNode): string[] {
  return [
    ` address-family ${family} unicast`,
    `  network ${loopback}`,
    '  redistribute kernel',
    '  neighbor fabric activate',
    ...(node.reflector
      ? ['  neighbor fabric route-reflector-client', '  neighbor fabric next-hop-self force']
      : []),
    ...(node.internal && !node.reflector ? ['  neighbor fabric next-hop-self'] : []),
    '  maximum-paths 16',
    '  maximum-paths ibgp 16',
    ' exit-address-family',
  ];
}

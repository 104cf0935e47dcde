// What the operator wants of L3 passthrough, resolved: a router namespace in which the speaker runs, the NICs of the
// fabric in it, and a veth pair towards the BGP speakers of the host. The shape of the YAML is schema-passthrough.ts;
// resources of OpenPERouter become the same YAML (openperouter-*.ts), so both become this.

/** An address of an interface with its prefix length; host bits are kept. */
export interface InterfaceAddress {
  /** 4 or 16. */
  bytes: Uint8Array;
  prefixLength: number;
}

export interface PassthroughIntent {
  /** Name below /run/netns. */
  netns: string;
  /** Place of this node in pools of addresses. */
  nodeIndex: number;
  uplinks: readonly UplinkIntent[];
  /** Absent: there is no leg towards the host. */
  veth?: PassthroughVethIntent;
  speakers: readonly HostSpeakerIntent[];
  /** A NIC that moved goes back when no session of the fabric was up within so long; 0: it stays. */
  confirmMs: number;
  /** NICs go back to the host when leafd is stopped; else only when they leave the configuration. */
  restoreOnStop: boolean;
  openperouter?: OpenperouterIntent;
}

/** One interface of the fabric in the router namespace. */
export interface UplinkIntent {
  /** What it is called in the router namespace; of `move` the NIC's own name. */
  name: string;
  /** The NIC in the host's namespace. */
  parent: string;
  mode: { kind: 'move' } | { kind: 'macvlan' } | { kind: 'vlan'; id: number };
  /** Of macvlan and vlan; a NIC that moves takes its own along. */
  addresses: readonly InterfaceAddress[];
  /** Absent: as it is, or the parent's. */
  mtu?: number;
}

export interface PassthroughVethIntent {
  /** `pt-host`, in the host's namespace. */
  hostLink: string;
  /** `pt-ns`, in the router namespace. */
  routerLink: string;
  /** One of each family at most. */
  routerAddresses: readonly InterfaceAddress[];
  /** Those of the node's index first, then what single speakers have of their own. */
  hostAddresses: readonly InterfaceAddress[];
  /** Absent: the smallest of the uplinks. */
  mtu?: number;
}

/** A BGP speaker of the host; its sessions are peers of `bgp.peers` like any other. */
export interface HostSpeakerIntent {
  name: string;
  /** Names of its peers: `NAME-ipv4` and `NAME-ipv6`, or NAME where one session carries both. */
  peers: readonly string[];
}

/** Where resources of OpenPERouter are read from. */
export interface OpenperouterIntent {
  /** Has node-config.yaml and configs/openpe_*.yaml. */
  directory: string;
  kubernetes?: KubernetesIntent;
}

export interface KubernetesIntent {
  /** Absent: the service account of the pod. */
  kubeconfig?: string;
  /** Name of this node in the cluster; absent: `node.name`. */
  node?: string;
  /** Absent: all namespaces. */
  namespace?: string;
}

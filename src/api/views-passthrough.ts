// The JSON shapes of L3 passthrough: part of views.ts, apart for its size. Imports nothing but views, as views.ts.

import type {
  BfdView,
  FamilyName,
  KernelView,
  PlaceView,
  ProblemView,
  ReasonView,
  SessionStateView,
} from './views.ts';

/**
 * `down`: no session of the fabric is up. `rolledBack`: none came up in time, and what was moved is back in the host.
 * `degraded`: it works, and something of it does not.
 */
export type PassthroughStateView = 'up' | 'degraded' | 'down' | 'rolledBack';

/** The router namespace, and what stands in it between the fabric and the speakers of this machine. */
export interface PassthroughView {
  /** Name below /run/netns. */
  netns: string;
  /** Whether leafd made the namespace. */
  made: boolean;
  /** The node's place in pools of addresses. */
  nodeIndex: number;
  state: PassthroughStateView;
  /** Why it is not up. */
  reason?: ReasonView;
  trial: PassthroughTrialView;
  uplinks: PassthroughUplinkView[];
  /** Absent: there is no leg towards the host. */
  veth?: { host: PassthroughVethEndView; router: PassthroughVethEndView };
  /** The fabric's first, then those of the host's speakers. */
  sessions: PassthroughSessionView[];
  /** How many routes each side has been told, by family: as many as the session that has been told most. */
  routes: { toHost: PassthroughCountsView; toFabric: PassthroughCountsView };
  /** Those of the router namespace that leafd looks after. */
  sysctls: KernelView['sysctls'];
  /** What the kernel has not taken. */
  failures: KernelView['failures'];
  /** What is odd and works all the same, in sentences. */
  warnings: string[];
  /** Where resources of OpenPERouter are read. */
  openperouter?: OpenperouterView;
}

export interface PassthroughCountsView {
  ipv4: number;
  ipv6: number;
}

/** A change of uplinks is on trial until a session of the fabric is up; else it is taken back. */
export interface PassthroughTrialView {
  /** `none`: no NIC moves, or moving is not on trial (`confirm: 0s`). */
  state: 'none' | 'running' | 'confirmed' | 'rolledBack';
  /** NICs it is about. */
  uplinks: string[];
  /** While it runs. */
  until?: string;
  remainingSeconds?: number;
  /** Why it was taken back, and when. */
  reason?: string;
  since?: string;
}

/** One interface of the fabric in the router namespace. */
export interface PassthroughUplinkView {
  name: string;
  /** The NIC in the host's namespace. */
  parent: string;
  mode: 'move' | 'macvlan' | 'vlan';
  vlan?: number;
  state: 'pending' | 'done' | 'error';
  /** In which namespace it is. */
  place: 'home' | 'router' | 'absent';
  mac?: string;
  mtu?: number;
  /** With prefix lengths. */
  addresses: string[];
  up: boolean;
  carrier: boolean;
  /** Of a NIC that moves: when it did, and how much is kept of it for its return. */
  movedAt?: string;
  saved?: { addresses: number; routes: number };
  error?: string;
}

export interface PassthroughVethEndView {
  name: string;
  /** It is there, and leafd's. */
  present: boolean;
  up: boolean;
  mac?: string;
  mtu?: number;
  /** With prefix lengths. */
  addresses: string[];
  error?: string;
}

/** A session of the router; `leafctl peers PEER` has the rest. */
export interface PassthroughSessionView {
  peer: string;
  side: 'fabric' | 'host';
  /** Of the host: which of its speakers. */
  speaker?: string;
  /** Of the fabric: through which uplink, where that is known. */
  uplink?: string;
  /** As those of a peer. */
  kind: 'interface' | 'address' | 'range';
  dynamic: boolean;
  address?: string;
  hostname?: string;
  /** Configured, and as learned from its OPEN. */
  remoteAs: string;
  remoteAsn?: number;
  state: SessionStateView;
  adminDown: boolean;
  since?: string;
  sinceSeconds?: number;
  byFamily: { family: FamilyName; received: number; accepted: number; advertised: number }[];
  bfd?: BfdView['state'];
  /** Why it is not up. */
  reason?: string;
}

/** The part of the status. */
export interface PassthroughStatusView {
  netns: string;
  state: PassthroughStateView;
  reason?: ReasonView;
  /** Sessions of each side. */
  fabric: { established: number; known: number };
  host: { established: number; known: number };
  /** While a trial runs. */
  remainingSeconds?: number;
}

/** A RouterNodeConfigurationStatus of OpenPERouter, and beside it each resource that was read. */
export interface OpenperouterView {
  conditions: OpenperouterConditionView[];
  failedResources: { kind: string; name: string; reason: string; message: string }[];
  resources: OpenperouterResourceView[];
  problems: ProblemView[];
}

export interface OpenperouterConditionView {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime?: string;
}

export interface OpenperouterResourceView {
  kind: string;
  name: string;
  where: PlaceView;
  state: 'applied' | 'failed' | 'unsupported' | 'notSelected';
  reason?: string;
  message?: string;
}

export type PassthroughAction = 'confirm' | 'rollBack' | 'retry';

/** A command about the trial was taken. */
export interface PassthroughActionView {
  action: PassthroughAction;
  text: string;
}

// What the plane shows of itself: plain data, of which the API makes its view, and the events it tells. No code, so
// that the API and the CLI load nothing of the plane.

import type { SysctlView } from '../dataplane/dataplane.ts';

export interface PassthroughPlaneView {
  netns: string;
  /** leafd made the namespace, and will remove it. */
  made: boolean;
  inode: number;
  uplinks: UplinkView[];
  /** Absent where none is wanted. */
  veth: { host: VethEndView; router: VethEndView } | undefined;
  trial: TrialView;
  sysctls: SysctlView[];
  /** What is odd and works all the same, in sentences. */
  warnings: string[];
}

export interface UplinkView {
  /** In the router namespace. */
  name: string;
  /** In the host's namespace; of `move` the same. */
  parent: string;
  mode: 'move' | 'macvlan' | 'vlan';
  vlan?: number;
  state: 'pending' | 'done' | 'error';
  place: 'home' | 'router' | 'absent';
  /** '' while it is absent. */
  mac: string;
  /** 0 while it is absent. */
  mtu: number;
  /** `ADDRESS/LENGTH`, those of the link itself (fe80::) too. */
  addresses: string[];
  up: boolean;
  carrier: boolean;
  /** Of a NIC that moves: when it did, ISO 8601. */
  movedAt?: string;
  /** Of a NIC that moves: what is kept of it for its return. */
  saved?: { addresses: number; routes: number };
  errno?: string;
  error?: string;
}

export interface VethEndView {
  name: string;
  /** It is there, and leafd's. */
  present: boolean;
  up: boolean;
  mtu: number;
  mac: string;
  addresses: string[];
  errno?: string;
  error?: string;
}

/** How it stands with the confirmed apply. `none`: no NIC moves, or moving is not on trial (`confirm: 0s`). */
export interface TrialView {
  state: 'none' | 'running' | 'confirmed' | 'rolledBack';
  /** NICs it is about. */
  uplinks: string[];
  /** Of `running`: until everything goes home. */
  remainingMs?: number;
  /** Of `running`: the same as a time of day, ISO 8601. */
  deadline?: string;
  /** Of `rolledBack`. */
  reason?: string;
  /** Of `rolledBack`: since when, ISO 8601. */
  since?: string;
}

export interface PassthroughEvent {
  kind: 'nicMoved' | 'nicReturned' | 'rolledBack' | 'confirmed' | 'repaired' | 'trial';
  text: string;
  level: 'info' | 'warn' | 'error';
}

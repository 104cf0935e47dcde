// What OpenPERouter's users write, in one form. The project keeps the version `v1alpha1` while it renames group, keys
// and words: three generations are in use, and its daemon on hosts without Kubernetes has files of its own. All of them
// become these values, named as the newest generation names them; each remembers its place in the file.

import type { Place } from '../lib/leafd-error.ts';
import type { SourceText } from './tree.ts';

export type ResourceKind = 'Underlay' | 'L3Passthrough' | 'L3VNI' | 'L2VNI' | 'L3VPN' | 'RawFRRConfig';

/** A value, and where it was written (or where what it follows from was). */
export interface Given<Value> {
  value: Value;
  place: Place;
}

/** What all kinds have. */
export interface ResourceHead {
  name: string;
  /** Absent: a static file, or a manifest that says none. */
  namespace?: string;
  where: Place;
  /** Absent: every node. */
  nodeSelector?: NodeSelector;
}

export interface NodeSelector {
  matchLabels: Readonly<Record<string, string>>;
  matchExpressions: readonly LabelRule[];
}

export interface LabelRule {
  key: string;
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  values: readonly string[];
}

export type Resource =
  | UnderlayResource
  | PassthroughResource
  | L3VniResource
  | L2VniResource
  | L3VpnResource
  | RawFrrResource;

export interface UnderlayResource extends ResourceHead {
  kind: 'Underlay';
  asn: Given<number>;
  routerIdCidr: Given<string>;
  neighbors: readonly Neighbor[];
  interfaces: readonly UnderlayInterface[];
  tunnelCidrs: readonly Given<string>[];
  /** Generation A could take the tunnel's address from an interface. */
  tunnelInterface?: Given<string>;
  gracefulRestart?: {
    place: Place;
    restartTimeSeconds?: Given<number>;
    stalePathTimeSeconds?: Given<number>;
  };
  isis?: Place;
  srv6?: Place;
  routeReflector?: { place: Place; clusterId: Given<string> };
}

export type UnderlayInterface =
  | { type: 'NetworkDevice'; name: Given<string> }
  | {
      type: 'CNIDevice';
      name: Given<string>;
      place: Place /** Configuration as JSON, keys sorted. */;
      config: string;
    };

export type NeighborAddressFamily = 'ipv4unicast' | 'ipv6unicast' | 'evpn' | 'ipv4vpn' | 'ipv6vpn';

export interface Neighbor {
  place: Place;
  remote: { kind: 'asn'; asn: Given<number> } | { kind: 'type'; type: Given<'external' | 'internal'> };
  at: { kind: 'address' | 'interface' | 'listenRange'; text: Given<string> };
  port?: Given<number>;
  password?: Given<string>;
  passwordSecret?: { place: Place; name: string; key: string };
  holdTimeSeconds?: Given<number>;
  keepaliveTimeSeconds?: Given<number>;
  connectTimeSeconds?: Given<number>;
  multihop?: { place: Place; ttl?: Given<number> };
  bfd?: NeighborBfd;
  /** Absent: what the rest of the configuration has use for. */
  families?: { place: Place; list: readonly { type: Given<NeighborAddressFamily>; client?: Place }[] };
}

export interface NeighborBfd {
  place: Place;
  receiveIntervalMs?: Given<number>;
  transmitIntervalMs?: Given<number>;
  detectMultiplier?: Given<number>;
  passive?: Given<boolean>;
  minimumTtl?: Given<number>;
  /** Generations A and B could ask for echo. */
  echo?: Place;
}

/** The leg between the router and a BGP speaker of the host. */
export interface HostSession {
  place: Place;
  asn: Given<number>;
  remote: { kind: 'asn'; asn: Given<number> } | { kind: 'type'; type: Given<'external' | 'internal'> };
  localCidr: LocalCidr;
}

export interface LocalCidr {
  place: Place;
  ipv4?: Given<string>;
  ipv6?: Given<string>;
}

export interface PassthroughResource extends ResourceHead {
  kind: 'L3Passthrough';
  hostSession: HostSession;
}

export interface L3VniResource extends ResourceHead {
  kind: 'L3VNI';
  vrf: Given<string>;
  vni: Given<number>;
  hostSession?: HostSession;
}

export interface L2VniResource extends ResourceHead {
  kind: 'L2VNI';
  vni: Given<number>;
  /** The VRF it is routed in: by name (A, B), or by the resource that has it. */
  routing?: { kind: 'vrf' | 'L3VNI' | 'L3VPN'; name: Given<string> };
  gatewayIps: readonly Given<string>[];
}

export interface L3VpnResource extends ResourceHead {
  kind: 'L3VPN';
  vrf: Given<string>;
  rdAssignedNumber: Given<number>;
  hostSession?: HostSession;
}

export interface RawFrrResource extends ResourceHead {
  kind: 'RawFRRConfig';
}

export interface OpenperouterInput {
  /**
   * Files of the directory (configs/openpe_*.yaml), manifests, or resources of the Kubernetes API as text of YAML or
   * JSON (file = `kubernetes:NAMESPACE/KIND/NAME`).
   */
  sources: readonly SourceText[];
  node: { index: number; name: string; labels: Readonly<Record<string, string>> };
  /** What was good before, by `KIND/NAME`: stands in for a later version that is refused. */
  good?: ReadonlyMap<string, Resource>;
  /** Passwords by `NAMESPACE/NAME` of Secrets. */
  secrets?: ReadonlyMap<string, string>;
}

export type ResourceState = 'applied' | 'failed' | 'unsupported' | 'notSelected';

/** Words of OpenPERouter's RouterNodeConfigurationStatus. */
export type FailureReason =
  | 'ValidationFailed'
  | 'DependencyFailed'
  | 'OverlayAttachmentFailed'
  | 'FrrConfigurationFailed';

export interface ResourceReport {
  kind: ResourceKind;
  name: string;
  where: Place;
  state: ResourceState;
  reason?: FailureReason;
  message?: string;
}

export interface NodeFile {
  nodeIndex?:
    | { kind: 'index'; index: Given<number> }
    | { kind: 'interface'; name: Given<string>; cidr?: Given<string> };
  nodeName?: string;
  logLevel?: string;
}

// Resources of OpenPERouter for tests, as JSON on one line, and what they come to in short.

import {
  type OpenperouterInput,
  type OpenperouterResult,
  readOpenperouter,
} from '../../src/intent/openperouter.ts';
import { plainOf } from '../../src/intent/tree.ts';

export const node = { index: 0, name: 'n1', labels: {} };
export const read = (text: string, more: Partial<OpenperouterInput> = {}): OpenperouterResult =>
  readOpenperouter({ sources: [{ file: 'f.yaml', text }], node, ...more });
// biome-ignore lint/suspicious/noExplicitAny: trees are looked into by their keys
export const treeOf = (result: OpenperouterResult): any =>
  result.config === undefined ? undefined : JSON.parse(JSON.stringify(plainOf(result.config)));
export const statesOf = ({ resources }: OpenperouterResult) =>
  resources.map(({ kind, name, state, reason }) =>
    [`${kind}/${name}`, state, ...(reason ? [reason] : [])].join(' '),
  );

export const manifest = (kind: string, name: string, spec: object, metadata: object = {}): string =>
  JSON.stringify({
    apiVersion: 'network.openperouter.io/v1alpha1',
    kind,
    metadata: { name, ...metadata },
    spec,
  });
export const many = (...texts: string[]): string => texts.join('\n---\n');
export const tor = { asn: 64512, address: '192.168.11.2' };
export const nic = { type: 'NetworkDevice', networkDevice: { interfaceName: 'eth1' } };
export const underlay = (more: object = {}, name = 'fabric', metadata: object = {}): string =>
  manifest('Underlay', name, { asn: 64514, interfaces: [nic], neighbors: [tor], ...more }, metadata);
export const four = { ipv4: '192.169.10.0/24' };
export const session = (localCIDR: object = four) => ({
  hostSession: { asn: 64514, hostASN: 64515, localCIDR },
});
export const passthrough = (localCIDR: object = four, name = 'pt'): string =>
  manifest('L3Passthrough', name, session(localCIDR));
export const l3vni = (vrf: string, vni: number, more: object = {}): string =>
  manifest('L3VNI', vrf, { vrf, vni, ...more });

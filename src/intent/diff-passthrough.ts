// What changes of passthrough between two intents. Its namespace is the speaker's: another one means other sockets, so
// all sessions begin anew, without a restart of the daemon. Uplinks come live, with what may become of them; what goes
// takes the sessions over it along. Speakers of the host are peers, and change as peers do (diff-peers.ts).

import { prefixText } from '../net/prefix.ts';
import { type Change, type Effect, onOff, valueChange } from './change.ts';
import { formatDuration } from './duration.ts';
import type { InterfaceAddress, PassthroughIntent, UplinkIntent } from './passthrough.ts';

/** Ends the text of a change for which the daemon makes another speaker. */
export const allAnew = ', all sessions begin anew';

/** Changes of the section; absent is a speaker in the namespace of the daemon. */
export function diffPassthrough(
  before: PassthroughIntent | undefined,
  after: PassthroughIntent | undefined,
): Change[] {
  const settings =
    before !== undefined && after !== undefined
      ? diffSettings(before, after)
      : diffPresence(before !== undefined, after);
  return [...settings, ...diffUplinks(before, after)];
}

/** A section that comes or goes is one change, not one for each of its defaults. */
function diffPresence(before: boolean, after: PassthroughIntent | undefined): Change[] {
  if (before === (after !== undefined)) return [];
  const text =
    after === undefined
      ? "passthrough: leafd speaks in the host's namespace again"
      : `passthrough: leafd speaks in the namespace ${after.netns} from now on`;
  const kind = after === undefined ? 'remove' : 'add';
  return [{ kind, owner: 'passthrough', what: 'netns', effect: 'session reset', text: text + allAnew }];
}

type Setting = readonly [
  name: string,
  show: (passthrough: PassthroughIntent) => string | undefined,
  effect?: Effect,
];

const addressText = ({ bytes, prefixLength }: InterfaceAddress): string =>
  prefixText({ bytes, length: prefixLength });
const addressesText = (addresses: readonly InterfaceAddress[]): string =>
  addresses.length === 0 ? 'none' : addresses.map(addressText).join(' ');

const settings: readonly Setting[] = [
  ['netns', (p) => p.netns, 'session reset'],
  ['nodeIndex', (p) => String(p.nodeIndex)],
  ['localCIDR', (p) => p.veth && addressesText(p.veth.routerAddresses)],
  ['hostAddress', (p) => p.veth && addressesText(p.veth.hostAddresses)],
  ['mtu', (p) => p.veth?.mtu?.toString()],
  ['confirm', (p) => formatDuration(p.confirmMs)],
  ['restoreOnStop', (p) => onOff(p.restoreOnStop)],
  ['openperouter', (p) => p.openperouter?.directory],
  ['openperouter.kubernetes', kubernetesText],
];

function kubernetesText({ openperouter }: PassthroughIntent): string | undefined {
  const kubernetes = openperouter?.kubernetes;
  if (kubernetes === undefined) return undefined;
  const { kubeconfig = 'service account', node = '', namespace = '' } = kubernetes;
  return [kubeconfig, node && `node ${node}`, namespace && `namespace ${namespace}`]
    .filter(Boolean)
    .join(', ');
}

function diffSettings(before: PassthroughIntent, after: PassthroughIntent): Change[] {
  return settings.flatMap(([what, show, effect = 'live']): Change[] => {
    const change = valueChange(show(before), show(after));
    if (change === undefined) return [];
    const remark = effect === 'session reset' ? allAnew : '';
    const text = `passthrough.${what}: ${change.text}${remark}`;
    return [{ ...change, owner: 'passthrough', what, effect, text }];
  });
}

function diffUplinks(before: PassthroughIntent | undefined, after: PassthroughIntent | undefined): Change[] {
  const old = new Map((before?.uplinks ?? []).map((one) => [one.name, one]));
  const wanted = new Map((after?.uplinks ?? []).map((one) => [one.name, one]));
  const changes: Change[] = [];
  const entry = (kind: Change['kind'], what: string, effect: Effect, text: string): void => {
    changes.push({ kind, owner: 'passthrough uplink', what, effect, text: `uplink ${what}: ${text}` });
  };
  for (const [name, one] of old) if (!wanted.has(name)) entry('remove', name, 'session reset', goesText(one));
  for (const [name, one] of wanted) {
    const previous = old.get(name);
    if (previous === undefined) entry('add', name, 'live', comesText(one, after!));
    else if (wayText(previous) !== wayText(one))
      entry('change', name, 'session reset', `${goesText(previous)}, then ${comesText(one, after!)}`);
    else for (const [effect, text] of uplinkChanges(previous, one)) entry('change', name, effect, text);
  }
  return changes;
}

function wayText({ parent, mode }: UplinkIntent): string {
  if (mode.kind === 'move') return 'the NIC itself';
  return mode.kind === 'vlan' ? `VLAN ${mode.id} of ${parent}` : `a macvlan of ${parent}`;
}

function comesText(uplink: UplinkIntent, { netns, confirmMs }: PassthroughIntent): string {
  const addresses = uplink.addresses.length === 0 ? '' : `, ${addressesText(uplink.addresses)}`;
  if (uplink.mode.kind !== 'move') return `${wayText(uplink)} is made in ${netns}${addresses}`;
  const moves = `moves into ${netns} with its addresses (ssh to them ends)`;
  return confirmMs === 0
    ? `${moves}, and stays there whether a session comes up or not`
    : `${moves}; it comes back when no session of the fabric is up within ${formatDuration(confirmMs)}`;
}

function goesText(uplink: UplinkIntent): string {
  return uplink.mode.kind === 'move'
    ? 'goes back to the host, sessions over it end'
    : `${wayText(uplink)} is deleted, sessions over it end`;
}

function uplinkChanges(before: UplinkIntent, after: UplinkIntent): [Effect, string][] {
  const changes: [Effect, string][] = [];
  const mtu = valueChange(before.mtu?.toString(), after.mtu?.toString());
  if (mtu !== undefined) changes.push(['live', `mtu ${mtu.text}`]);
  const kept = new Set(after.addresses.map(addressText));
  const isLess = before.addresses.some((one) => !kept.has(addressText(one)));
  const addresses = valueChange(addressesText(before.addresses), addressesText(after.addresses));
  if (addresses !== undefined)
    changes.push([isLess ? 'session reset' : 'live', `addresses ${addresses.text}`]);
  return changes;
}

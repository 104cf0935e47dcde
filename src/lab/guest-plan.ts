// How a guest hangs on a hypervisor, as ip(8) commands; pure. Between the guest's eth0 and the tap in the hypervisor's
// bridge there is a bridge of the guest's own in a namespace that nobody looks into, LAB-_nics. It stands for the
// virtual network card: a live migration plugs it from one tap to another, and the guest keeps its link, carrier,
// addresses and neighbours, as a virtual machine does; a veth port that moved by itself would lose all but the first.
// Both taps exist for a while, as those of the two QEMUs do.

import { routedHostCommands } from './plan.ts';
import { type LabNode, netnsOf, type Topology, tapOf } from './topology.ts';

export interface LabCommands {
  readonly netns: string;
  readonly commands: readonly string[];
}

/** The namespace of all network cards of a lab; no node can have this name. */
export function nicsNetns(lab: string): string {
  return netnsOf(lab, '_nics');
}

/** The card's end of a guest's tap on a hypervisor. */
function cardPort(guest: string, slot: 0 | 1): string {
  return `${guest}.t${slot}`;
}

/** The card itself and the guest's end of it; indexes differ for the reason told at `cableCommands`. */
export function cardCommands(lab: string, guest: LabNode, index: number): LabCommands {
  const inner = `${guest.name}.g`;
  const far = `name eth0 index ${index + 1} address ${guest.guest!.mac} netns ${netnsOf(lab, guest.name)}`;
  const commands = [
    `link add ${guest.name} type bridge mcast_snooping 0`,
    `link add name ${inner} index ${index} type veth peer ${far}`,
    `link set ${inner} master ${guest.name} up`,
    `link set ${guest.name} up`,
  ];
  return { netns: nicsNetns(lab), commands };
}

/** A tap of a guest on a hypervisor, in its bridge and up; nothing of the guest can be heard there yet. */
export function tapCommands(
  lab: string,
  guest: LabNode,
  on: string,
  slot: 0 | 1,
  index: number,
): LabCommands[] {
  const tap = tapOf(guest.name);
  const port = cardPort(guest.name, slot);
  const far = `name ${tap} index ${index + 1} netns ${netnsOf(lab, on)}`;
  return [
    {
      netns: nicsNetns(lab),
      commands: [`link add name ${port} index ${index} type veth peer ${far}`, `link set ${port} up`],
    },
    { netns: netnsOf(lab, on), commands: [`link set ${tap} master ${guest.guest!.bridge} up`] },
  ];
}

/** Plugs the card into the tap of a slot, out of the other one where it was there. */
export function plugCommands(lab: string, guest: string, slot: 0 | 1, unplug: boolean): LabCommands {
  const other = slot === 0 ? 1 : 0;
  const commands = [`link set ${cardPort(guest, slot)} master ${guest}`];
  if (unplug) commands.unshift(`link set ${cardPort(guest, other)} nomaster`);
  return { netns: nicsNetns(lab), commands };
}

/** Removes the tap of a slot; its end on the hypervisor goes with it. */
export function untapCommands(lab: string, guest: string, slot: 0 | 1): LabCommands {
  return { netns: nicsNetns(lab), commands: [`link delete ${cardPort(guest, slot)}`] };
}

/** Bridges of hypervisors, and those of nics have no address of any kind. */
export function bridgeCommands(topology: Topology): LabCommands[] {
  return topology.nodes
    .filter((node) => node.bridges !== undefined)
    .map((node) => ({
      netns: netnsOf(topology.name, node.name),
      commands: node.bridges!.flatMap((name) => [`link add ${name} type bridge`, `link set ${name} up`]),
    }));
}

/** What the guest itself does when it starts. One that has to be learned checks for duplicates, as guests do. */
export function bootCommands(lab: string, guest: LabNode): LabCommands {
  const commands = ['link set eth0 up', ...routedHostCommands(guest.addresses, 'eth0', dadOf(guest))];
  return { netns: netnsOf(lab, guest.name), commands };
}

/** Whether the guest's kernel detects duplicate addresses. */
export function dadOf(guest: LabNode): boolean {
  return guest.guest?.mode === 'learn';
}

// The `guests:` section of a lab file: each guest becomes a node that hangs on a hypervisor's bridge instead of a
// cable. Also what a hypervisor's leafd is told of its bridges unless the file says otherwise.

import { suggestion } from '../intent/suggest.ts';
import type { Path } from '../intent/tree.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import { macOf } from './plan.ts';
import type { GuestFile, LabFile, NodeFile } from './schema.ts';
import type { LabNode } from './topology.ts';

const DEFAULT_BRIDGES = ['vmbr1'];

/** The guest bridges of a hypervisor. */
export function bridgesOf(node: NodeFile): readonly string[] {
  return node.bridges ?? DEFAULT_BRIDGES;
}

/** Keys of leafd.yaml that make these bridges its guests'. */
export function bridgesConfig(bridges: readonly string[]): Record<string, unknown> {
  return { guests: { bridges: bridges.map((name) => ({ name })) } };
}

type Wrong = (path: Path, reason: string, hint?: string) => LeafdError;

/** The guests of a file as nodes; `wrong` makes a complaint with its place. */
export function readGuests(file: LabFile, nodes: readonly LabNode[], wrong: Wrong): LabNode[] {
  const owners = new Map<string, string>();
  return Object.entries(file.guests ?? {}).map(([name, written]) => {
    if (nodes.some((node) => node.name === name))
      throw wrong(['guests', name], 'is the name of a node already');
    const bridge = bridgeFor(name, written, nodes, wrong);
    for (const [index, text] of written.addresses.entries()) {
      const place = ['guests', name, 'addresses', index];
      if (!text.endsWith(text.includes(':') ? '/128' : '/32'))
        throw wrong(place, 'must be a host address: a guest is attached by routes', 'with /32 or /128');
      const owner = owners.get(text);
      if (owner !== undefined) throw wrong(place, `is ${owner}'s already`);
      owners.set(text, name);
    }
    const mac = written.mac?.toLowerCase() ?? macOf(file.name, { node: name, port: 'eth0' });
    return guestNode(name, written, { on: written.on, bridge, mac, mode: written.mode ?? 'attach' });
  });
}

function bridgeFor(name: string, written: GuestFile, nodes: readonly LabNode[], wrong: Wrong): string {
  const hypervisors = nodes.filter((node) => node.kind === 'hypervisor');
  const host = hypervisors.find((node) => node.name === written.on);
  if (host === undefined) {
    const names = hypervisors.map((node) => node.name);
    const hint = suggestion(written.on, names) ?? `hypervisors: ${names.join(', ') || 'none'}`;
    throw wrong(['guests', name, 'on'], `there is no hypervisor ${written.on}`, hint);
  }
  const bridges = host.bridges ?? [];
  const bridge = written.bridge ?? bridges[0]!;
  if (bridges.includes(bridge)) return bridge;
  throw wrong(
    ['guests', name, 'bridge'],
    `${written.on} has no bridge ${bridge}`,
    `it has ${bridges.join(', ')}`,
  );
}

function guestNode(name: string, written: GuestFile, guest: NonNullable<LabNode['guest']>): LabNode {
  return {
    name,
    kind: 'guest',
    config: '',
    addresses: written.addresses,
    ports: {},
    forwarding: false,
    commands: [],
    afterStart: [],
    guest,
  };
}

// Proxmox VE: a guest's configuration (`/etc/pve/qemu-server/VMID.conf`, `/etc/pve/lxc/VMID.conf`) and a phase of its
// hookscript, as the request to leafd. Pure: text in, bodies out. The formats are those of qm.conf(5), pct.conf(5).
//
// A NIC is leafd's business when
// - a line of the guest's notes names it: `leafd: net0 192.0.2.30 2001:db8::30 allow=192.0.2.0/24 max=4`, or
// - its addresses (`ipconfigN` of cloud-init, `ip=`, `ip6=` of containers) are host prefixes, /32 and /128: that is
//   how a routed guest is written; a /24 is a neighbour on an ordinary bridge.
// `leafd: net0 off` keeps it out. A NIC with link_down=1 has nobody behind it and is left alone.
//
// The port is tapVMIDiN or vethVMIDiN; with firewall=1 Proxmox puts a bridge of its own between, and what is in the
// guest bridge is fwprVMIDpN. When a guest comes by live migration, its hookscript runs here with PVE_MIGRATED_FROM
// while it still runs there: it is expected. No hook tells of the cut-over, and none runs on the source.

import type { AttachBody } from '../api/views-guests.ts';
import {
  bindingName,
  type HookReading,
  type HookRequest,
  MAX_NICS,
  type NicAddresses,
  unique,
} from './hook-body.ts';

export type ProxmoxKind = 'qemu' | 'lxc';

/** One `netN` with what is said of it. */
export interface ProxmoxNic extends NicAddresses {
  /** `net0`. */
  nic: string;
  mac?: string;
  bridge?: string;
  tagged: boolean;
  /** The host's end in the guest bridge. */
  port: string;
  linkDown: boolean;
}

export interface ProxmoxConfig {
  nics: ProxmoxNic[];
  problems: string[];
}

const prefixOfKind = { qemu: 'vm', lxc: 'ct' } as const;

/** Names of all bindings that a guest can have had. */
export function proxmoxNames(vmid: string): RegExp {
  return new RegExp(`^(vm|ct)${vmid}-net[0-9]{1,2}$`);
}

/** The NICs of a configuration that are leafd's business. */
export function readProxmoxConfig(text: string, vmid: string, kind: ProxmoxKind): ProxmoxConfig {
  const config: ProxmoxConfig = { nics: [], problems: [] };
  const { values, notes } = currentSection(text);
  const told = readNotes(notes, config.problems);
  for (const [key, value] of values) {
    const index = /^net(0|[1-9][0-9]?)$/.exec(key)?.[1];
    if (index === undefined || config.nics.length >= MAX_NICS) continue;
    const options = readOptions(value);
    const note = told.get(key);
    if (note === 'off') continue;
    const own = kind === 'lxc' ? options : readOptions(values.get(`ipconfig${index}`) ?? '');
    const routed = [hostAddress(own.get('ip'), 32), hostAddress(own.get('ip6'), 128)].flatMap(
      (one) => one ?? [],
    );
    if (note === undefined && routed.length === 0) continue;
    const mac = options.get('hwaddr') ?? options.get('macaddr') ?? firstMac(options);
    const bridge = options.get('bridge');
    const tap = kind === 'lxc' ? `veth${vmid}i${index}` : `tap${vmid}i${index}`;
    config.nics.push({
      nic: key,
      ...(mac !== undefined && { mac: mac.toLowerCase() }),
      ...(bridge !== undefined && { bridge }),
      tagged: options.has('tag'),
      port: options.get('firewall') === '1' ? `fwpr${vmid}p${index}` : tap,
      linkDown: options.get('link_down') === '1',
      addresses: unique([...(note?.addresses ?? []), ...routed]),
      allowed: note?.allowed ?? [],
      ...(note?.maxAddresses !== undefined && { maxAddresses: note.maxAddresses }),
    });
  }
  for (const nic of told.keys())
    if (!values.has(nic)) config.problems.push(`the notes name ${nic}, which the guest does not have`);
  return config;
}

/** What to ask for in a phase; `strict` also attaches before the start, so that a refusal prevents it. */
export function proxmoxRequest(
  phase: string,
  about: { text: string; vmid: string; kind: ProxmoxKind; migratedFrom?: string; strict: boolean },
): HookReading {
  if (phase === 'post-stop')
    return { request: { kind: 'detachMatching', pattern: proxmoxNames(about.vmid) }, problems: [] };
  const incoming = about.migratedFrom !== undefined;
  const wanted = phase === 'post-start' || (phase === 'pre-start' && (incoming || about.strict));
  if (!wanted) return { request: { kind: 'nothing' }, problems: [] };
  const { nics, problems } = readProxmoxConfig(about.text, about.vmid, about.kind);
  const guest = `${prefixOfKind[about.kind]}${about.vmid}`;
  const bodies = nics
    .filter((nic) => !nic.linkDown)
    .flatMap((nic) => {
      const body = bodyOf(nic, guest);
      // There is no port yet.
      if (incoming && phase === 'pre-start') delete body.port;
      if (body.port === undefined && body.mac === undefined) return [];
      return incoming ? [{ ...body, expect: { from: about.migratedFrom! } }] : [body];
    });
  const request: HookRequest = bodies.length === 0 ? { kind: 'nothing' } : { kind: 'attach', bodies };
  return { request, problems };
}

/** The bodies of a guest that may run: those of its NICs whose ports are there. */
export function proxmoxRunning(
  about: { text: string; vmid: string; kind: ProxmoxKind },
  isThere: (port: string) => boolean,
): AttachBody[] {
  const { nics } = readProxmoxConfig(about.text, about.vmid, about.kind);
  return nics
    .filter((nic) => !nic.linkDown && isThere(nic.port))
    .map((nic) => ({ ...bodyOf(nic, `${prefixOfKind[about.kind]}${about.vmid}`), keepExpected: true }));
}

function bodyOf(nic: ProxmoxNic, guest: string): AttachBody {
  const body: AttachBody = { name: bindingName(guest, nic.nic), guest, source: 'proxmox', port: nic.port };
  if (nic.mac !== undefined) body.mac = nic.mac;
  // With a tag Proxmox may put the port into a bridge of the VLAN's own.
  if (nic.bridge !== undefined && !nic.tagged) body.bridge = nic.bridge;
  if (nic.maxAddresses !== undefined) body.maxAddresses = nic.maxAddresses;
  return { ...body, addresses: nic.addresses, allowed: nic.allowed };
}

/** Keys and notes before the first snapshot or pending section; the first of a key counts. */
function currentSection(text: string): { values: Map<string, string>; notes: string[] } {
  const values = new Map<string, string>();
  const notes: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (/^\[.*\]\s*$/.test(line)) break;
    if (line.startsWith('#')) notes.push(decoded(line.slice(1)));
    const found = /^([a-z][a-z_]*\d*):\s*(.*?)\s*$/.exec(line);
    if (found === null) continue;
    const [, key, value] = found;
    // Notes as older versions keep them.
    if (key === 'description') notes.push(...decoded(value!).split('\n'));
    else if (!values.has(key!)) values.set(key!, value!);
  }
  return { values, notes };
}

/** Proxmox writes notes with the colon, the per cent sign and what is not ASCII escaped. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `virtio=MAC,bridge=vmbr1,firewall=1` by key. */
function readOptions(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    if (at > 0) options.set(part.slice(0, at).trim(), part.slice(at + 1).trim());
  }
  return options;
}

const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** The MAC of `virtio=MAC`: the model is the key. */
function firstMac(options: ReadonlyMap<string, string>): string | undefined {
  return [...options.values()].find((value) => macPattern.test(value));
}

function hostAddress(text: string | undefined, length: number): string[] {
  const [address, bits] = (text ?? '').split('/');
  return bits === String(length) ? [address!] : [];
}

/** `leafd:` lines of the notes, by NIC. */
function readNotes(notes: readonly string[], problems: string[]): Map<string, NicAddresses | 'off'> {
  const told = new Map<string, NicAddresses | 'off'>();
  for (const line of notes) {
    const found = /^\s*leafd:\s*(.*)$/i.exec(line);
    if (found === null) continue;
    const [nic, ...words] = found[1]!.trim().split(/\s+/);
    if (nic === undefined || !/^net(0|[1-9][0-9]?)$/.test(nic)) {
      problems.push(`leafd: in the notes names no NIC: leafd: net0 192.0.2.30`);
      continue;
    }
    told.set(nic, words[0] === 'off' ? 'off' : readWords(words));
  }
  return told;
}

/** `192.0.2.30 2001:db8::30 allow=192.0.2.0/24,2001:db8::/64 max=4`. */
function readWords(words: readonly string[]): NicAddresses {
  const said: NicAddresses = { addresses: [], allowed: [] };
  const items = (text: string): string[] => text.split(',').filter((one) => one !== '');
  for (const word of words) {
    const max = /^max=(\d{1,4})$/.exec(word)?.[1];
    if (max !== undefined) said.maxAddresses = Number(max);
    else if (word.startsWith('allow=')) said.allowed.push(...items(word.slice('allow='.length)));
    else said.addresses.push(...items(word));
  }
  return said;
}

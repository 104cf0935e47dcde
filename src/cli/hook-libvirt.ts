// libvirt: a domain's XML and an operation of its qemu hook (https://libvirt.org/hooks.html), as the request to leafd.
// Pure: text in, bodies out. Which addresses a NIC has, libvirt does not know; the domain's metadata say it:
//
//   <metadata>
//     <leafd:guest xmlns:leafd="https://leafd.dev/guest/1">
//       <leafd:interface mac="52:54:00:00:00:30" maxAddresses="4">   (or index="0"; neither where there is one NIC)
//         <leafd:address>192.0.2.30</leafd:address>
//         <leafd:allowed>192.0.2.0/24</leafd:allowed>
//
// NICs that are not named there are not leafd's business. The port (vnet3) is known from `started` on. An incoming
// migration is told by `migrate` before `prepare`, `start` and `started`: those keep an expectation that is there. The
// XML is read strictly, with namespaces; a document type, which could declare entities, is refused.

import sax from 'sax';
import type { AttachBody } from '../api/views-guests.ts';
import {
  bindingName,
  type HookReading,
  type HookRequest,
  MAX_NICS,
  type NicAddresses,
  unique,
} from './hook-body.ts';

const GUEST_NAMESPACE = 'https://leafd.dev/guest/1';
/** Where the guest's element is, as DomainReader writes paths. */
const GUEST = 'domain/metadata/{guest}guest';
/** Elements within each other at most. */
const MAX_DEPTH = 64;
/** Addresses and prefixes of a guest at most. */
const MAX_WORDS = 1024;

export interface LibvirtNic extends NicAddresses {
  index: number;
  mac?: string;
  bridge?: string;
  /** The host's end, while it runs. */
  port?: string;
  linkDown: boolean;
  /** Whether the metadata name it. */
  named: boolean;
}

export interface LibvirtDomain {
  name: string;
  /** In the state file of one that stands still: an incoming migration, among other reasons. */
  paused: boolean;
  nics: LibvirtNic[];
  problems: string[];
}

/** Whether an operation attaches, and with the port. Others than these are nobody's business. */
const attaching: Readonly<Record<string, 'port' | 'noPort'>> = {
  prepare: 'noPort',
  started: 'port',
  reconnect: 'port',
  attach: 'port',
};

/** Whether the XML of an operation is to be read at all. */
export function libvirtReads(operation: string, strict: boolean): boolean {
  if (operation === 'prepare') return strict;
  return ['started', 'reconnect', 'attach', 'migrate', 'stopped', 'release'].includes(operation);
}

/** What to ask for in an operation. Throws for what is no domain XML. */
export function libvirtRequest(operation: string, about: { xml: string; strict: boolean }): HookReading {
  if (!libvirtReads(operation, about.strict)) return { request: { kind: 'nothing' }, problems: [] };
  const { name, nics, problems } = readDomain(about.xml);
  const ours = nics.filter((nic) => nic.named);
  if (operation === 'stopped' || operation === 'release')
    return { request: request({ kind: 'detach', names: ours.map((nic) => nameOf(name, nic)) }), problems };
  const bodies = ours
    .filter((nic) => !nic.linkDown)
    .flatMap((nic): AttachBody[] => {
      const body = bodyOf(name, nic, attaching[operation] === 'port');
      if (body.port === undefined && body.mac === undefined) return [];
      return operation === 'migrate' ? [{ ...body, expect: {} }] : [{ ...body, keepExpected: true }];
    });
  return { request: request({ kind: 'attach', bodies }), problems };
}

/**
 * The bodies of a domain that runs, from its state file. One that stands still may be an incoming migration, whose
 * guest runs elsewhere: it is expected, unless it is attached already.
 */
export function libvirtRunning(xml: string, isAttached: (name: string) => boolean): AttachBody[] {
  const { name, paused, nics } = readDomain(xml);
  return nics
    .filter((nic) => nic.named && !nic.linkDown && nic.port !== undefined)
    .map((nic) => {
      const body = bodyOf(name, nic, true);
      return paused && !isAttached(body.name) ? { ...body, expect: {} } : { ...body, keepExpected: true };
    });
}

function request(
  wanted: { kind: 'attach'; bodies: AttachBody[] } | { kind: 'detach'; names: string[] },
): HookRequest {
  const empty = wanted.kind === 'attach' ? wanted.bodies.length === 0 : wanted.names.length === 0;
  return empty ? { kind: 'nothing' } : wanted;
}

const nameOf = (domain: string, nic: LibvirtNic): string => bindingName(domain, `net${nic.index}`);

function bodyOf(domain: string, nic: LibvirtNic, withPort: boolean): AttachBody {
  const body: AttachBody = { name: nameOf(domain, nic), guest: domain.slice(0, 63), source: 'libvirt' };
  if (withPort && nic.port !== undefined) body.port = nic.port;
  if (nic.mac !== undefined) body.mac = nic.mac;
  if (nic.bridge !== undefined) body.bridge = nic.bridge;
  if (nic.maxAddresses !== undefined) body.maxAddresses = nic.maxAddresses;
  return { ...body, addresses: nic.addresses, allowed: nic.allowed };
}

/** What the metadata say of one NIC. */
interface Told extends NicAddresses {
  mac?: string;
  index?: number;
}

/** The NICs of a domain with what its metadata say of them. Throws for what is no well-formed domain XML. */
export function readDomain(xml: string): LibvirtDomain {
  const reader = new DomainReader();
  // Its types do not know yet that the entities of HTML can be left out.
  const options: sax.SAXOptions & { strictEntities: true } = {
    xmlns: true,
    position: true,
    strictEntities: true,
  };
  const parser = sax.parser(true, options);
  parser.onerror = (error) => {
    throw new Error(`the domain XML is broken: ${error.message.replaceAll('\n', ', ')}`);
  };
  parser.ondoctype = () => {
    throw new Error('the domain XML has a document type');
  };
  parser.onopentag = (tag) => reader.open(tag as sax.QualifiedTag);
  parser.onclosetag = () => reader.close();
  parser.ontext = (text) => reader.text(text);
  parser.oncdata = (text) => reader.text(text);
  parser.write(xml).close();
  return reader.domain();
}

/** Follows the elements by their path; what is of the guest's namespace is written `{guest}name`. */
class DomainReader {
  private readonly path: string[] = [];
  private readonly nics: LibvirtNic[] = [];
  private readonly told: Told[] = [];
  private readonly direct: Told = { addresses: [], allowed: [] };
  private readonly problems: string[] = [];
  private name = '';
  private isDomain = false;
  private paused = false;
  private words = '';

  open(tag: sax.QualifiedTag): void {
    if (this.path.length >= MAX_DEPTH) throw new Error('the domain XML is nested too deeply');
    const name = tag.uri === GUEST_NAMESPACE ? `{guest}${tag.local}` : tag.local;
    if (this.path.length === 0 && this.isDomain) throw new Error('the XML goes on after the domain');
    // A live domain's state file has the domain within.
    if (this.path.length > 0 || name !== 'domstatus') this.path.push(name);
    this.words = '';
    const read = (key: string): string | undefined => tag.attributes[key]?.value;
    const path = this.path.join('/');
    if (path === '') this.paused = read('state') === 'paused';
    else if (path === 'domain') this.isDomain = true;
    else if (path === 'domain/devices/interface' && this.nics.length < MAX_NICS)
      this.nics.push({ index: this.nics.length, addresses: [], allowed: [], linkDown: false, named: false });
    else if (path.startsWith('domain/devices/interface/')) this.openOfNic(path.slice(25), read);
    else if (path === `${GUEST}/{guest}interface` && this.told.length < MAX_NICS) this.tell(read);
  }

  close(): void {
    const path = this.path.join('/');
    const words = this.words.trim();
    this.path.pop();
    this.words = '';
    if (path === 'domain/name') this.name = words;
    const found = /^(.*)\/\{guest\}(address|allowed)$/.exec(path);
    if (found === null || !found[1]!.startsWith(GUEST)) return;
    // Addresses right below `guest` are of the only NIC.
    const told = found[1] === GUEST ? this.direct : this.told.at(-1);
    if (told === undefined) return;
    const list = found[2] === 'address' ? told.addresses : told.allowed;
    if (list.length < MAX_WORDS) list.push(...words.split(/[\s,]+/).filter(Boolean));
  }

  text(text: string): void {
    this.words += text;
  }

  domain(): LibvirtDomain {
    if (!this.isDomain || this.name === '') throw new Error('the XML is not that of a domain with a name');
    for (const told of this.told) this.give(told);
    if (this.direct.addresses.length + this.direct.allowed.length > 0) this.give(this.direct);
    return { name: this.name, paused: this.paused, nics: this.nics, problems: this.problems };
  }

  private openOfNic(element: string, read: (key: string) => string | undefined): void {
    const nic = this.nics.at(-1);
    if (nic === undefined) return;
    const put = (key: 'mac' | 'bridge' | 'port', value: string | undefined): void => {
      if (value !== undefined && value !== '') nic[key] = value;
    };
    if (element === 'mac') put('mac', read('address')?.toLowerCase());
    else if (element === 'source') put('bridge', read('bridge'));
    else if (element === 'target') put('port', read('dev'));
    else if (element === 'link') nic.linkDown = read('state') === 'down';
  }

  private tell(read: (key: string) => string | undefined): void {
    const told: Told = { addresses: [], allowed: [] };
    const [mac, index, max] = [read('mac'), read('index'), read('maxAddresses')];
    if (mac !== undefined) told.mac = mac.toLowerCase();
    if (index !== undefined && /^\d{1,3}$/.test(index)) told.index = Number(index);
    if (max !== undefined && /^\d{1,4}$/.test(max)) told.maxAddresses = Number(max);
    this.told.push(told);
  }

  private give(told: Told): void {
    const { nics } = this;
    const only = nics.length === 1 ? nics[0] : undefined;
    const byMac = nics.find((one) => told.mac !== undefined && one.mac === told.mac);
    const nic = told.mac !== undefined ? byMac : told.index !== undefined ? nics[told.index] : only;
    if (nic === undefined) {
      const which = told.mac ?? (told.index === undefined ? 'one of several' : `number ${told.index}`);
      this.problems.push(`the metadata name an interface, ${which}, that is not told from the others`);
      return;
    }
    nic.named = true;
    nic.addresses = unique([...nic.addresses, ...told.addresses]);
    nic.allowed = unique([...nic.allowed, ...told.allowed]);
    if (told.maxAddresses !== undefined) nic.maxAddresses = told.maxAddresses;
  }
}

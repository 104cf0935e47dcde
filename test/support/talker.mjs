// A BGP speaker of the test's own, for one namespace: `node talker.mjs JSON`. Sessions of role `source` announce the
// routes of a TABLE_DUMP as soon as they are up, sessions of role `watcher` remember what they hear; each connects again
// whenever it is closed. It shares no line with the product, so that a mistake in reading or writing cannot hide from
// itself: files, messages and attributes are read here by plain loops (RFC 6396, 4271, 6793, 7606).
//
// Commands come as JSON lines on stdin and are answered by a JSON line each:
//   {do: 'start' | 'stop' | 'cut', session}   bring a session up, end it for good, end it and let it come back
//   {do: 'state', session}                    established, prefixes, updates, how often established, last words
//   {do: 'compare', session, behind, keepsAsZero}   table of a session, without the ASes in front, against the dump

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { gunzipSync } from 'node:zlib';

const options = JSON.parse(process.argv[2]);
const u16 = (b, at) => (b[at] << 8) | b[at + 1];
const u32 = (b, at) => ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
const bytes16 = (n) => [n >>> 8, n & 255];
const bytes32 = (n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

/** Path attributes to one comparable text, and the next hop beside it. `asnSize` is 2 in the dump, 4 on the wire. */
function readAttributes(b, start, end, asnSize) {
  const found = { path: [], values: new Map(), rest: '', nextHop: '', med: '' };
  for (let at = start; at < end; ) {
    const code = b[at + 1];
    const long = (b[at] & 16) !== 0;
    const from = at + (long ? 4 : 3);
    const to = from + (long ? u16(b, at + 2) : b[at + 2]);
    if (to > end) throw new Error('an attribute is cut off');
    const value = [...b.subarray(from, to)];
    if (code === 2) found.path = readPath(b, from, to, asnSize);
    else if (code === 3) found.nextHop = value.join('.');
    else if (code === 4) found.med = String(u32(b, from));
    else found.values.set(code, code === 7 && value.length === 6 ? [0, 0, ...value] : value);
    at = to;
  }
  // Partial, the length's width and the order of attributes mean nothing to a comparison.
  const codes = [...found.values.keys()].sort((x, y) => x - y);
  found.rest = codes
    .map((code) => `${code}:${Buffer.from(found.values.get(code)).toString('hex')}`)
    .join(' ');
  return found;
}

/**
 * ASes one after the other, sets in braces: sequences that follow each other are one (RFC 4271 section 5.1.2), and it means
 * nothing to name an AS twice in a set (two prefixes of 2002 do; FRR says it once).
 */
function readPath(b, from, to, asnSize) {
  const path = [];
  for (let at = from; at < to; ) {
    const type = b[at];
    const asns = [];
    let next = at + 2;
    for (let i = b[at + 1]; i > 0; i--, next += asnSize)
      asns.push(asnSize === 4 ? u32(b, next) : u16(b, next));
    if (type === 2) path.push(...asns.map(String));
    else
      path.push(
        `${type === 1 ? 'set' : `type${type}`}{${[...new Set(asns)].sort((x, y) => x - y).join(',')}}`,
      );
    at = next;
  }
  return path;
}

const textOf = (found, behind) => `${found.path.slice(behind).join(' ')} | ${found.rest}`;

/** The dump: one path a prefix, the peer's with most prefixes where it has one. */
function loadDump({ file, limit }) {
  const b = gunzipSync(readFileSync(file));
  const byPeer = new Map();
  for (let at = 0; at < b.length; ) {
    const next = at + 12 + u32(b, at + 8);
    if (u16(b, at + 4) !== 12 || u16(b, at + 6) !== 1) throw new Error('not a TABLE_DUMP of IPv4');
    const body = at + 12;
    const length = b[body + 8];
    const prefix = `${[...b.subarray(body + 4, body + 8)].join('.')}/${length}`;
    const peer = `${[...b.subarray(body + 14, body + 18)].join('.')} ${u16(b, body + 18)}`;
    if (!byPeer.has(peer)) byPeer.set(peer, new Map());
    byPeer
      .get(peer)
      .set(prefix, { at: body + 4, length, start: body + 22, end: body + 22 + u16(b, body + 20) });
    at = next;
  }
  const peers = [...byPeer.entries()].sort((x, y) => y[1].size - x[1].size);
  const firstAs = peers[0][0].split(' ')[1];
  const table = new Map();
  for (const [, routes] of peers)
    for (const [prefix, route] of routes) if (!table.has(prefix)) table.set(prefix, route);
  const chosen = [...table].filter(
    (_, index) => limit === undefined || index % Math.ceil(table.size / limit) === 0,
  );
  const sets = new Map();
  const texts = new Map();
  let withSets = 0;
  for (const [prefix, { at, length, start, end }] of chosen) {
    const found = readAttributes(b, start, end, 2);
    // A few prefixes only other peers have: their paths go behind the AS that tells them here.
    if (found.path[0] !== firstAs) found.path.unshift(firstAs);
    if (found.path.some((one) => one.startsWith('set'))) withSets++;
    texts.set(prefix, textOf(found, 0));
    const key = `${textOf(found, 0)} | ${found.med}`;
    if (!sets.has(key)) sets.set(key, { found, nlri: [] });
    sets.get(key).nlri.push(length, ...b.subarray(at, at + ((length + 7) >>> 3)));
  }
  return { asn: Number(firstAs), sets: [...sets.values()], texts, withSets };
}

const message = (type, body) =>
  Buffer.from([...new Array(16).fill(255), ...bytes16(19 + body.length), type, ...body]);

/** UPDATEs of the whole dump with a next hop, then End-of-RIB. */
function updatesOf(dump, nextHop) {
  const chunks = [];
  for (const { found, nlri } of dump.sets) {
    const attributes = attributesOf(found, nextHop);
    for (let at = 0; at < nlri.length; ) {
      const begin = at;
      const room = 4096 - 23 - attributes.length;
      while (at < nlri.length) {
        const size = 1 + ((nlri[at] + 7) >>> 3);
        if (at + size - begin > room) break;
        at += size;
      }
      chunks.push(message(2, [0, 0, ...bytes16(attributes.length), ...attributes, ...nlri.slice(begin, at)]));
    }
  }
  return Buffer.concat([...chunks, message(2, [0, 0, 0, 0])]);
}

function attributesOf(found, nextHop) {
  const path = [];
  const sequence = [];
  const flush = () => {
    while (sequence.length > 0) {
      const part = sequence.splice(0, 255);
      path.push(2, part.length, ...part.flatMap(bytes32));
    }
  };
  for (const one of found.path) {
    if (!one.startsWith('set')) {
      sequence.push(Number(one));
      continue;
    }
    flush();
    const asns = one.slice(4, -1).split(',').map(Number);
    path.push(1, asns.length, ...asns.flatMap(bytes32));
  }
  flush();
  const out = [0x40, 1, 1, ...found.values.get(1)];
  out.push(0x50, 2, ...bytes16(path.length), ...path, 0x40, 3, 4, ...nextHop.split('.').map(Number));
  if (found.med !== '') out.push(0x80, 4, 4, ...bytes32(Number(found.med)));
  for (const code of [6, 7, 8]) {
    const value = found.values.get(code);
    if (value !== undefined) out.push(code === 6 ? 0x50 : 0xd0, code, ...bytes16(value.length), ...value);
  }
  return out;
}

const dump = loadDump(options.dump);
const keepalive = message(4, []);

class Session {
  constructor(settings) {
    Object.assign(this, settings);
    this.asn ??= dump.asn;
    this.wanted = false;
    this.established = false;
    this.timesUp = 0;
    this.updates = 0;
    this.lastWords = '';
    this.table = new Map();
    this.texts = new Map();
    this.rest = Buffer.alloc(0);
  }

  start() {
    this.wanted = true;
    this.connect();
  }

  stop() {
    this.wanted = false;
    if (this.established) this.socket.write(message(3, [6, 2, 0]));
    this.socket?.end();
  }

  connect() {
    if (!this.wanted) return;
    const socket = connect({ host: this.remote, port: 179, localAddress: this.local, noDelay: true });
    this.socket = socket;
    const asn = this.asn > 65535 ? 23456 : this.asn;
    const capabilities = [1, 4, 0, 1, 0, 1, 65, 4, ...bytes32(this.asn)];
    const open = [4, ...bytes16(asn), 0, 180, ...this.local.split('.').map(Number)];
    open.push(capabilities.length + 2, 2, capabilities.length, ...capabilities);
    socket.on('connect', () => socket.write(message(1, open)));
    socket.on('data', (data) => this.data(data));
    socket.on('error', (error) => {
      this.lastWords = error.code;
    });
    socket.on('close', () => {
      this.established = false;
      this.rest = Buffer.alloc(0);
      this.table.clear();
      setTimeout(() => this.connect(), 200);
    });
  }

  data(data) {
    const all = this.rest.length === 0 ? data : Buffer.concat([this.rest, data]);
    let at = 0;
    while (all.length - at >= 19 && all.length - at >= u16(all, at + 16)) {
      const end = at + u16(all, at + 16);
      const type = all[at + 18];
      if (type === 1) this.socket.write(keepalive);
      else if (type === 2) this.update(all, at + 19, end);
      else if (type === 3) this.lastWords = `NOTIFICATION ${all[at + 19]}/${all[at + 20]}`;
      else if (type === 4 && !this.established) this.up();
      at = end;
    }
    this.rest = all.subarray(at);
  }

  up() {
    this.established = true;
    this.timesUp++;
    if (this.role === 'source') this.socket.write((this.announcement ??= updatesOf(dump, this.local)));
  }

  update(b, start, end) {
    this.updates++;
    const withdrawnEnd = start + 2 + u16(b, start);
    this.prefixes(b, start + 2, withdrawnEnd, undefined);
    const attributesStart = withdrawnEnd + 2;
    const attributesEnd = attributesStart + u16(b, withdrawnEnd);
    if (attributesEnd === end || this.role === 'source') return;
    // The same attributes come for many prefixes: one object for all of them.
    const key = b.toString('latin1', attributesStart, attributesEnd);
    let found = this.texts.get(key);
    if (found === undefined)
      this.texts.set(key, (found = readAttributes(b, attributesStart, attributesEnd, 4)));
    this.prefixes(b, attributesEnd, end, found);
  }

  prefixes(b, start, end, found) {
    for (let at = start; at < end; ) {
      const length = b[at];
      const size = (length + 7) >>> 3;
      const octets = [0, 0, 0, 0];
      for (let i = 0; i < size; i++) octets[i] = b[at + 1 + i];
      const prefix = `${octets.join('.')}/${length}`;
      if (found === undefined) this.table.delete(prefix);
      else this.table.set(prefix, found);
      at += 1 + size;
    }
  }
}

const sessions = new Map(options.sessions.map((one) => [one.name, new Session(one)]));
setInterval(() => {
  for (const one of sessions.values()) if (one.established) one.socket.write(keepalive);
}, 1000).unref();

/** A dump of 2002 has AGGREGATORs of AS 0, which RFC 7607 has a speaker pass over; some keep them. */
const withoutAsZero = (text) => text.replace(/ 7:0{8}[0-9a-f]{8}/, '');

function compare({ session, behind, keepsAsZero }) {
  const { table } = sessions.get(session);
  const counts = { missing: 0, foreign: 0, different: 0 };
  const result = {
    prefixes: table.size,
    counts,
    missing: [],
    foreign: [],
    different: [],
    missingWithSets: 0,
    meds: 0,
  };
  const note = (kind, what) => {
    counts[kind]++;
    if (result[kind].length < 5) result[kind].push(what);
  };
  const nextHops = new Set();
  const front = new Set();
  for (const [prefix, found] of table) {
    nextHops.add(found.nextHop);
    front.add(found.path.slice(0, behind).join(' '));
    if (found.med !== '') result.meds++;
    const wanted = dump.texts.get(prefix);
    const own = textOf(found, behind);
    if (wanted === undefined) note('foreign', prefix);
    else if (own !== (keepsAsZero ? wanted : withoutAsZero(wanted)))
      note('different', `${prefix}: ${own} instead of ${wanted}`);
  }
  for (const [prefix, wanted] of dump.texts) {
    if (table.has(prefix)) continue;
    note('missing', prefix);
    if (wanted.includes('set{')) result.missingWithSets++;
  }
  return { ...result, front: [...front].slice(0, 5), nextHops: [...nextHops].slice(0, 5) };
}

const commands = {
  start: ({ session }) => sessions.get(session).start(),
  stop: ({ session }) => sessions.get(session).stop(),
  cut: ({ session }) => sessions.get(session).socket.destroy(),
  state: ({ session }) => {
    const { established, timesUp, updates, lastWords, table } = sessions.get(session);
    return { established, timesUp, updates, lastWords, prefixes: table.size };
  },
  compare,
};

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ prefixes: dump.texts.size, sets: dump.sets.length, withSets: dump.withSets, asn: dump.asn });
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    say(commands[command.do](command) ?? {});
  })
  .on('close', () => process.exit(0));

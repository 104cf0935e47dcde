// node-config.yaml of OpenPERouter on hosts without Kubernetes: which node this is. Its first versions had the index as
// a plain number; later it is a number or an interface whose address tells it.

import { prefixContainsIp } from '../net/prefix.ts';
import { readDocument } from './document.ts';
import {
  cidr,
  complainTo,
  deviceName,
  type Field,
  Fields,
  mapOf,
  prefixOfCidr,
  text,
  whole,
} from './openperouter-fields.ts';
import type { Given, NodeFile } from './openperouter-model.ts';
import type { InterfaceAddress } from './passthrough.ts';
import type { ConfigProblem, SourceText } from './tree.ts';

const NODE_INDEX_MAX = 65535;

/** What the file says, or what is wrong with it. */
export function readNodeFile(source: SourceText): { node?: NodeFile; problems: ConfigProblem[] } {
  const { root, problems } = readDocument(source);
  if (root === undefined) return { problems };
  const found: ConfigProblem[] = [];
  const complain = complainTo(found);
  // The path of a key at the top is the key alone.
  const fields = new Fields(root, '', (where, path, ...more) => complain(where, path.slice(1), ...more));
  const nodeIndex = readNodeIndex(fields);
  const name = text(fields.take('nodeName'), fields.complain);
  const level = text(fields.take('logLevel'), fields.complain);
  fields.finish();
  const node: NodeFile = {};
  if (nodeIndex !== undefined) node.nodeIndex = nodeIndex;
  if (name !== undefined && name.value !== '') node.nodeName = name.value;
  if (level !== undefined) node.logLevel = level.value;
  return found.length === 0 ? { node, problems: [] } : { problems: found };
}

function readNodeIndex(file: Fields): NodeFile['nodeIndex'] {
  const index = file.take('nodeIndex');
  const older = file.take('nodeIndexInterfaceName');
  if (index?.node.kind === 'map') {
    if (older !== undefined) file.twice(older, index);
    return readStruct(index, file);
  }
  const number = whole(index, file.complain, 0, NODE_INDEX_MAX);
  const name = deviceName(older, file.complain);
  // A zero beside an interface is what is there when nothing was said.
  if (number !== undefined && number.value !== 0 && older !== undefined)
    file.complain(older.keyPlace, older.path, 'excludes nodeIndex');
  return chosen(number, name, undefined);
}

function readStruct(index: Field, { complain }: Fields): NodeFile['nodeIndex'] {
  const fields = mapOf(index, complain)!;
  const number = whole(fields.take('index'), complain, 0, NODE_INDEX_MAX);
  const field = fields.take('interfaceName');
  const name = deviceName(field, complain);
  const pool = fields.take('cidr');
  const within = cidr(pool, complain);
  fields.finish();
  if (number !== undefined && number.value !== 0 && field !== undefined)
    complain(field.keyPlace, field.path, 'excludes index');
  if (pool !== undefined && field === undefined)
    complain(pool.keyPlace, pool.path, 'has no use without interfaceName');
  return chosen(number, name, within);
}

function chosen(
  index: Given<number> | undefined,
  name: Given<string> | undefined,
  within: Given<string> | undefined,
): NodeFile['nodeIndex'] {
  if (name !== undefined)
    return { kind: 'interface', name, ...(within === undefined ? {} : { cidr: within }) };
  return index === undefined ? undefined : { kind: 'index', index };
}

/**
 * The index that an interface's addresses tell: the host part of the first within the CIDR, else of the first IPv4
 * one, else of the first. Undefined where there is none, or it is beyond every pool.
 */
export function indexFromAddresses(
  addresses: readonly InterfaceAddress[],
  within: Given<string> | undefined,
): number | undefined {
  const chosen =
    within === undefined
      ? (addresses.find(({ bytes }) => bytes.length === 4) ?? addresses[0])
      : addresses.find(({ bytes }) => prefixContainsIp(prefixOfCidr(within), bytes));
  if (chosen === undefined) return undefined;
  let index = 0;
  for (const [at, byte] of chosen.bytes.entries()) {
    const ofNetwork = Math.min(8, Math.max(0, chosen.prefixLength - at * 8));
    index = index * 256 + (byte & (0xff >> ofNetwork));
    if (index > NODE_INDEX_MAX) return undefined;
  }
  return index;
}

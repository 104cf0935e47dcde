// OpenPERouter's files on this host: node-config.yaml, which says who the node is, and configs/openpe_*.yaml in the
// order of their names. A directory that is not there has nothing to say; one that cannot be read is told.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import { fileFault, readText } from './files-read.ts';
import { type NodeFile, type OpenperouterInput, readNodeFile } from './openperouter.ts';
import { indexFromAddresses } from './openperouter-node.ts';
import type { InterfaceAddress } from './passthrough.ts';
import { type ConfigProblem, formatPlace } from './tree.ts';

const FILES_MAX = 256;

/** What the host itself knows. */
export interface HostFacts {
  /** Addresses of an interface, those with wider scope first; empty where there is no such interface. */
  addressesOf: (interfaceName: string) => readonly InterfaceAddress[];
  hostname: string;
  labels: Readonly<Record<string, string>>;
}

/**
 * What the directory says of this node. Throws a LeafdError where a file is there and cannot be read, and where
 * node-config.yaml does not tell which node this is: with the index of another, two nodes would have one address.
 */
export function readOpenperouterDirectory(directory: string, host: HostFacts): OpenperouterInput {
  const file = join(directory, 'node-config.yaml');
  const node = names(directory).includes('node-config.yaml') ? readNode(file) : {};
  const configs = join(directory, 'configs');
  const found = names(configs).filter((name) => /^openpe_.*\.yaml$/.test(name));
  // All of them are read at once, and looked at every second.
  if (found.length > FILES_MAX)
    throw new LeafdError(
      'config-unreadable',
      `${configs}: has ${found.length} files, more than ${FILES_MAX}`,
    );
  const sources = found
    .sort()
    .map((name) => join(configs, name))
    .map((path) => ({ file: path, text: readText(path, 'regular') }));
  const index = indexOf(node, file, host);
  return { sources, node: { index, name: node.nodeName ?? host.hostname, labels: host.labels } };
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const code = (error as { code?: string }).code ?? '';
    if (code === 'ENOENT') return [];
    throw new LeafdError('config-unreadable', `${directory}: ${fileFault(error)}`, { cause: error });
  }
}

function readNode(file: string): NodeFile {
  const { node, problems } = readNodeFile({ file, text: readText(file, 'regular') });
  if (node !== undefined) return node;
  throw nodeError(problems[0]!);
}

function nodeError({ where, path, reason, hint }: ConfigProblem): LeafdError {
  const message = path === '' ? reason : `${path}: ${reason}`;
  return new LeafdError('config-invalid', message, { where, ...(hint === undefined ? {} : { hint }) });
}

function indexOf({ nodeIndex }: NodeFile, file: string, host: HostFacts): number {
  if (nodeIndex === undefined) return 0;
  if (nodeIndex.kind === 'index') return nodeIndex.index.value;
  const { name, cidr } = nodeIndex;
  const index = indexFromAddresses(host.addressesOf(name.value), cidr);
  if (index !== undefined) return index;
  const within = cidr === undefined ? '' : ` within ${cidr.value}`;
  throw new LeafdError(
    'node-index-unknown',
    `nodeIndex.interfaceName: ${name.value} has no address${within} that tells the index (0 to 65535)`,
    {
      where: name.place,
      hint: `give the interface its address, or nodeIndex.index in ${formatPlace({ ...name.place, file })}`,
    },
  );
}

// Reads configuration files with their drop-ins, and nothing else: `leafctl plan` sends them to the daemon as they are
// and must not load the schema for that. `/etc/leafd/leafd.yaml` has its drop-ins in `/etc/leafd/leafd.d/*.yaml`, in
// the order of their names; any other `NAME.yaml` likewise in `NAME.d/`.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import { MAX_FILE_BYTES, type SourceText } from './tree.ts';

/** The file and its drop-ins. Throws a LeafdError `config-unreadable` naming the file and why. */
export function readConfigFiles(path: string): SourceText[] {
  return [path, ...dropInsOf(path)].map((file) => ({ file, text: readText(file) }));
}

function dropInsOf(path: string): string[] {
  if (!/\.ya?ml$/.test(path)) return [];
  const directory = path.replace(/\.ya?ml$/, '.d');
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return [];
    throw unreadable(directory, error);
  }
  return names
    .filter((name) => name.endsWith('.yaml') && !name.startsWith('.'))
    .sort()
    .map((name) => join(directory, name));
}

/**
 * The text of a file, if it is not too large. `regular`: it must be one that ends; a reader of a FIFO waits for a
 * writer, and all else with it.
 */
export function readText(file: string, only: 'any' | 'regular' = 'any'): string {
  try {
    const found = statSync(file);
    const { size } = found;
    if (only === 'regular' && !found.isFile() && !found.isDirectory())
      throw new LeafdError('config-unreadable', `${file}: is no regular file`);
    if (size > MAX_FILE_BYTES)
      throw new LeafdError('config-unreadable', `${file}: is larger than ${MAX_FILE_BYTES >> 20} MiB`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw error instanceof LeafdError ? error : unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): LeafdError {
  const hint = codeOf(error) === 'EACCES' ? 'run it as root' : undefined;
  return new LeafdError('config-unreadable', `${file}: ${fileFault(error)}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}

/** Why a file could not be read, in words, with the errno. */
export function fileFault(error: unknown): string {
  const words: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'is a directory',
    ELOOP: 'too many symbolic links',
  };
  const code = codeOf(error);
  return words[code] === undefined ? code || 'unreadable' : `${words[code]} (${code})`;
}

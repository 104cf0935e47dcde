// The one file of this room that touches the disk: configuration files with their drop-ins, and password files.
// `/etc/leafd/leafd.yaml` has its drop-ins in `/etc/leafd/leafd.d/*.yaml`, read in the order of their names; any
// other `NAME.yaml` likewise in `NAME.d/`.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import { MAX_FILE_BYTES, type SourceText } from './document.ts';
import { type LoadOptions, type LoadResult, loadConfig } from './load.ts';
import type { SecretFile } from './peers.ts';
import type { AsPathJudge } from './policy-checks.ts';

/** Where the daemon looks when it is not told. */
export const DEFAULT_CONFIG_FILE = '/etc/leafd/leafd.yaml';

/** The file and its drop-ins. Throws a LeafdError `config-unreadable` naming the file and why. */
export function readConfigFiles(path: string): SourceText[] {
  return [path, ...dropInsOf(path)].map((file) => ({ file, text: readText(file) }));
}

/** Reads and loads a configuration as the daemon does at start and at reload. */
export function loadConfigFile(path: string, options: Partial<LoadOptions> = {}): LoadResult {
  return loadConfig(readConfigFiles(path), localOptions(options));
}

/** Load options of this machine: its name, its password files, and the given judge of AS path patterns. */
export function localOptions(options: { hostname?: string; judgeAsPath?: AsPathJudge } = {}): LoadOptions {
  return { hostname: hostname(), readSecret: readSecretFile, ...options };
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

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_FILE_BYTES)
      throw new LeafdError('config-unreadable', `${file}: is larger than ${MAX_FILE_BYTES >> 20} MiB`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw error instanceof LeafdError ? error : unreadable(file, error);
  }
}

/** Reads a password file; a relative name is meant from the folder of the configuration that names it. */
export function readSecretFile(path: string, from: string): SecretFile {
  const file = isAbsolute(path) ? path : resolve(dirname(from), path);
  try {
    const status = statSync(file);
    if (!status.isFile()) return { kind: 'failed', reason: 'not a plain file' };
    if (status.size > 4096) return { kind: 'failed', reason: 'larger than 4 KiB' };
    return { kind: 'read', text: readFileSync(file, 'utf8'), exposed: (status.mode & 0o077) !== 0 };
  } catch (error) {
    return { kind: 'failed', reason: reasonOf(error) };
  }
}

function unreadable(file: string, error: unknown): LeafdError {
  const hint = codeOf(error) === 'EACCES' ? 'run it as root' : undefined;
  return new LeafdError('config-unreadable', `${file}: ${reasonOf(error)}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}

function reasonOf(error: unknown): string {
  const words: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'is a directory',
    ELOOP: 'too many symbolic links',
  };
  const code = codeOf(error);
  return words[code] === undefined ? code || 'unreadable' : `${words[code]} (${code})`;
}

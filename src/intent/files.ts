// Configurations as this machine has them: read from disk, with its host name and its password files. With
// files-read.ts the only impure part of this room.

import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, isAbsolute, resolve } from 'node:path';
import { fileFault, readConfigFiles } from './files-read.ts';
import { type LoadOptions, type LoadResult, loadConfig } from './load.ts';
import type { SecretFile } from './merged.ts';
import type { AsPathJudge } from './policy-checks.ts';

/** Where the daemon looks when it is not told. */
export const DEFAULT_CONFIG_FILE = '/etc/leafd/leafd.yaml';

/** Reads and loads a configuration as the daemon does at start and at reload. */
export function loadConfigFile(path: string, options: Partial<LoadOptions> = {}): LoadResult {
  return loadConfig(readConfigFiles(path), localOptions(options));
}

/** Load options of this machine: its name, its password files, and the given judge of AS path patterns. */
export function localOptions(options: { hostname?: string; judgeAsPath?: AsPathJudge } = {}): LoadOptions {
  return { hostname: hostname(), readSecret: readSecretFile, ...options };
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
    return { kind: 'failed', reason: fileFault(error) };
  }
}

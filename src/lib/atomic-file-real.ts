// Files that are whole or as before, whatever happens while they are written: the new text goes to a file beside, to
// the disk, and takes the old one's name.

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces a file's text; its directory is made. Throws the file system's error, the old file is then as it was. */
export function writeWhole(path: string, text: string, mode = 0o644): void {
  makeDirectory(dirname(path));
  const temporary = `${path}.tmp`;
  try {
    const fd = openSync(temporary, 'w', mode);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** The same while others work. Two at a time on one path are the caller's mistake. */
export async function writeWholeLater(path: string, text: string, mode = 0o644): Promise<void> {
  makeDirectory(dirname(path));
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, 'w', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Makes a directory and those above it. Not by Node's own recursive form: that never returns where making one answers
 * "no such file" although all above exist, as /proc does.
 */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path);
  }
}

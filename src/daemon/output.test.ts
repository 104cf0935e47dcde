import { closeSync, openSync, writeSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createOutput } from './output.ts';

const tell = (lost: number): string => `${lost} lost\n`;

describe('an output', () => {
  test('that takes a few bytes at a time gets every line whole', () => {
    let text = '';
    const output = createOutput(tell, (bytes) => {
      text += Buffer.from(bytes.subarray(0, 3)).toString();
      return Math.min(3, bytes.length);
    });
    output.write('first line\n');
    output.write('second\n');
    expect(text).toBe('first line\nsecond\n');
  });

  test('that fails loses lines and says how many once it works again', () => {
    let full = false;
    let text = '';
    const output = createOutput(tell, (bytes) => {
      if (full) throw Object.assign(new Error('write'), { code: 'ENOSPC' });
      text += Buffer.from(bytes).toString();
      return bytes.length;
    });
    output.write('a\n');
    full = true;
    output.write('b\n');
    output.write('c\n');
    full = false;
    output.write('d\n');
    output.write('e\n');
    expect(text).toBe('a\n2 lost\nd\ne\n');
  });

  test('on a full disk does not throw', () => {
    const fd = openSync('/dev/full', 'w');
    expect(() => writeSync(fd, 'x')).toThrow(/ENOSPC/);
    const output = createOutput(tell, (bytes) => writeSync(fd, bytes));
    for (let i = 0; i < 3; i++) output.write('line\n');
    closeSync(fd);
    expect(() => output.write('closed\n')).not.toThrow();
  });
});

// The matcher against a table of what operators write, and against JavaScript's regular expressions over
// paths whose ASNs are single letters: on those both must agree whatever the pattern.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../lib/bytes.ts';
import { parseAsPath, writeAsPath } from '../wire/bgp/attribute/as-path.ts';
import { AsPathMatcher } from './as-path-matcher.ts';
import { judgeAsPathPattern, parseAsPathPattern } from './as-path-pattern.ts';

function pathBytes(text: string): Uint8Array {
  const out = new ByteWriter();
  writeAsPath(out, parseAsPath(text)!);
  return out.take();
}

function matcherOf(pattern: string): AsPathMatcher {
  const node = parseAsPathPattern(pattern);
  if ('reason' in node) throw new Error(`${pattern}: ${node.reason}`);
  return new AsPathMatcher(node);
}

function matches(pattern: string, path: string): boolean {
  const bytes = pathBytes(path);
  // Beside other bytes, so that the bounds matter.
  const within = Uint8Array.of(9, 9, ...bytes, 9, 9);
  return matcherOf(pattern).matches(within, 2, 2 + bytes.length);
}

describe('patterns', () => {
  test.each([
    ['^$', '', true],
    ['^$', '65001', false],
    ['.*', '', true],
    ['', '65001', true],
    ['65001', '64999 65001 65002', true],
    ['65001', '165001 6500', false],
    ['_65001_', '65001', true],
    ['_65001_', '1 2 65001', true],
    ['_65001_', '1 2', false],
    ['^65001', '65001 2', true],
    ['^65001_', '2 65001', false],
    ['65001$', '2 65001', true],
    ['_65001$', '65001 2', false],
    ['^65001$', '65001', true],
    ['^65001$', '65001 65001', false],
    ['^65001+$', '65001 65001', true],
    ['^65001_65002$', '65001 65002', true],
    ['^65001 65002$', '65001 65002', true],
    ['_65001_65002_', '1 65001 65002 3', true],
    ['_65001_65002_', '1 65001 9 65002 3', false],
    ['^65001_.*_65002$', '65001 1 2 3 65002', true],
    ['^65001_.*_65002$', '65001 65002', true],
    ['^.$', '65001', true],
    ['^.$', '65001 65002', false],
    ['^[0-9]+$', '65001', true],
    ['^[0-9]+_[0-9]+$', '65001 65002', true],
    ['^[0-9]+$', '65001 65002', false],
    ['.+', '', false],
    ['^[65000-65199]$', '65199', true],
    ['^[65000-65199]$', '65200', false],
    ['^[65000-65199]*$', '65000 65199 65100', true],
    ['^[65000-65199]*$', '65000 65200', false],
    ['[64512-65534,4200000000-4294967294]', '3 4200000001', true],
    ['[64512-65534 4200000000-4294967294]', '3 4', false],
    ['^(65001|65002)_3$', '65002 3', true],
    ['^(65001|65002)_3$', '65003 3', false],
    ['^(65001_65002|7)$', '65001 65002', true],
    ['^(65001_65002|7)+$', '65001 65002 7 7 65001 65002', true],
    ['^(65001_65002|7)+$', '65001 65002 65001', false],
    ['^65001_(2)?_3$', '65001 3', true],
    ['^65001_(2)?_3$', '65001 2 3', true],
    ['^1|2$', '1 5', true],
    ['^1|2$', '5 2', true],
    ['^1|2$', '5 1', false],
    ['(^|_)65001(_|$)', '3 65001', true],
    ['4294967295', '4294967295', true],
    // An AS_SET is one place, where any member matches.
    ['^1_2$', '1 {2 3}', true],
    ['^1_3$', '1 {2 3}', true],
    ['^1_4$', '1 {2 3}', false],
    ['^.$', '{2 3}', true],
    ['^1_.$', '1 {2 3}', true],
    // Digits within an ASN.
    ['^65[0-9]+$', '65001', true],
    ['^65[0-9]+$', '165001', false],
    ['_6500[0-4]_', '1 65004 2', true],
    ['_6500[0-4]_', '1 65005 65040', false],
    ['^[1-9][0-9]*$', '7', true],
    ['^65[0-9]{3}_1', '65001 1', true],
    ['^65[0-9]{3}_1', '650011 1', false],
    ['^(65[0-9]+_)+7$', '65001 65 6512 65999 7', false],
    ['^(65[0-9]+_)+7$', '65001 6512 65999 7', true],
    // Where sets and confederation segments begin and end.
    ['\\{', '1 {2 3}', true],
    ['\\{', '1 2 3', false],
    ['{.*}', '1 {2 3} 4', true],
    ['^1_\\{3\\}$', '1 {2 3}', true],
    ['\\}$', '1 {2 3} 4', false],
    ['^\\(65010_', '(65010 65011) 1', true],
    ['^\\(65011_', '(65010 65011) 1', false],
    ['\\(', '65010 1', false],
    ['^\\(.*\\)_1$', '(65010 65011) 1', true],
    ['65011\\)_1$', '(65010 65011) 1', true],
    ['65010\\)', '(65010 65011) 1', false],
    // Confederation segments hold ASNs like others.
    ['^65010_65011_1$', '(65010 65011) 1', true],
    ['^65010_1$', '[65010 65011] 1', true],
  ])('%s on "%s": %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  test.each([
    ['(65001', 'a ( that is not closed, at character 1'],
    ['65001)', 'a ) that closes nothing, at character 6'],
    ['*', '* repeats nothing, at character 1'],
    ['^*', '* repeats nothing, at character 2'],
    ['65[10-20]', 'digits and [ within one ASN; write a range such as [64500-64599], at character 3'],
    ['[10-20]5', 'digits and [ within one ASN; write a range such as [64500-64599], at character 8'],
    ['6[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*', 'more than 4 repeats within one ASN, at character 1'],
    ['6[9-0]', '6[9-0] is no ASN, at character 7'],
    ['\\{*', '* repeats nothing, at character 3'],
    ['\\x', 'unexpected \\, at character 1'],
    ['[65001', 'a [ that is not closed, at character 1'],
    ['[]', '[] is not a list of ASNs and ranges, at character 1'],
    ['[9-3]', '9-3 is no range of ASNs, at character 1'],
    ['4294967296', '4294967296 is no ASN, at character 1'],
    ['65001a', 'unexpected a, at character 6'],
    ['('.repeat(40), 'groups nested deeper than 32, at character 33'],
    ['1'.repeat(5000), 'longer than 4096 characters, at character 4097'],
  ])('%s is refused', (pattern, reason) => {
    expect(judgeAsPathPattern(pattern)).toBe(reason);
  });

  test('repeats within repeats end, and time stays bounded', () => {
    const path = Array.from({ length: 300 }, () => '1').join(' ');
    expect(matches('^((1*)*)*$', path)).toBe(true);
    expect(matches('^((1*)*)*2$', path)).toBe(false);
    expect(matches('^(1?)*(1|1)*((1+)+)+2', path)).toBe(false);
  });

  test('the largest programs fit', () => {
    for (const unit of ['|', '.*', '.**', '(.|.)', '1?', '.?*+']) {
      const text = unit.repeat(Math.floor(4096 / unit.length));
      expect(() => matcherOf(text)).not.toThrow();
    }
  });
});

describe('properties', () => {
  // A pattern as pattern text and as a regular expression over letters: ASN 1 is "a", 2 is "b", 3 is "c".
  type Pair = [pattern: string, expression: string];
  const leaf: fc.Arbitrary<Pair> = fc.constantFrom<Pair>(
    ['1', 'a'],
    ['2', 'b'],
    ['3', 'c'],
    ['.', '.'],
    ['[2-3]', '[bc]'],
    ['[1,3]', '[ac]'],
    ['^', '^'],
    ['$', '$'],
  );
  const { pair } = fc.letrec<{ pair: Pair }>((tie) => ({
    pair: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc
        .array(tie('pair'), { minLength: 1, maxLength: 3 })
        .map<Pair>((parts) => [
          parts.map((part) => part[0]).join('_'),
          parts.map((part) => part[1]).join(''),
        ]),
      fc
        .array(tie('pair'), { minLength: 2, maxLength: 3 })
        .map<Pair>((parts) => [
          `(${parts.map((part) => part[0]).join('|')})`,
          `(?:${parts.map((part) => part[1]).join('|')})`,
        ]),
      fc
        .tuple(tie('pair'), fc.constantFrom('*', '+', '?'))
        .map<Pair>(([part, sign]) => [`(${part[0]})${sign}`, `(?:${part[1]})${sign}`]),
    ),
  }));
  const asns = fc.array(fc.constantFrom('1', '2', '3'), { maxLength: 7 });

  test('the matcher agrees with a regular expression', () => {
    fc.assert(
      fc.property(pair, fc.array(asns, { minLength: 1, maxLength: 8 }), ([pattern, expression], paths) => {
        const matcher = matcherOf(pattern);
        const regExp = new RegExp(expression);
        for (const path of paths) {
          const bytes = pathBytes(path.join(' '));
          const letters = path.map((asn) => 'abc'[Number(asn) - 1]).join('');
          expect(matcher.matches(bytes, 0, bytes.length)).toBe(regExp.test(letters));
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('any text is a pattern or is refused, never thrown at', () => {
    const signs = fc.string({ unit: fc.constantFrom(...'^$_.*+?|()[]0123456789-, x'), maxLength: 30 });
    fc.assert(
      fc.property(signs, asns, (text, path) => {
        const node = parseAsPathPattern(text);
        if ('reason' in node) return;
        const bytes = pathBytes(path.join(' '));
        expect(typeof new AsPathMatcher(node).matches(bytes, 0, bytes.length)).toBe('boolean');
      }),
      { numRuns: 3000 },
    );
  });
});

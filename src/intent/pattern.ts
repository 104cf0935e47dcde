// Name patterns: `*` stands for any text, `?` for one character, everything else for itself. Used for interface
// names and peer names; matching is linear, whatever the pattern.

/** Whether `name` is one of those that `pattern` stands for. */
export function matchesPattern(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else return false;
  }
  while (p < pattern.length && pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Whether a pattern stands for more than one name. */
export function isPattern(text: string): boolean {
  return /[*?]/.test(text);
}

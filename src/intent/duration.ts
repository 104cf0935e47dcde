// Durations as operators write them: `300ms`, `9s`, `5m`, `2h`, `1d`. One number and one unit, so that two
// configurations that mean the same mostly look the same.

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const parts = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  return parts === null ? undefined : Number(parts[1]) * units[parts[2]!]!;
}

/** The shortest exact spelling: 90000 -> `90s`, 300000 -> `5m`. */
export function formatDuration(ms: number): string {
  let best = `${ms}ms`;
  for (const [unit, size] of Object.entries(units))
    if (ms !== 0 && ms % size === 0) best = `${ms / size}${unit}`;
  return ms === 0 ? '0s' : best;
}

// What zod found, in the operator's words. A union's many complaints are reduced to the branch that was meant, type
// names become words of people, and an unknown key is told with the one that was probably meant. No message here
// repeats a value, because the value may be a password.

import type * as z from 'zod';
import { isLaterKey, knownKeysAt, whyNoKey, whyNoList } from './schema.ts';
import { nearest, suggestion } from './suggest.ts';
import type { Path, Problem } from './tree.ts';

type Issue = z.core.$ZodIssue;

/** Problems of a configuration, from zod's issues and the plain value it judged. */
export function problemsOf(issues: readonly Issue[], root: unknown): Problem[] {
  return issues.flatMap((issue) => explain(issue, [], root));
}

function explain(issue: Issue, base: Path, root: unknown): Problem[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  const value = valueAt(root, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(path, key));
    case 'invalid_type':
      return [wrongType(path, issue.expected, value)];
    case 'invalid_value':
      return [wrongChoice(path, issue.values.map(String), value)];
    case 'too_small':
    case 'too_big':
      return [outOfBounds(path, issue, value)];
    case 'invalid_union':
      return chooseBranch(issue, path, root, value);
    case 'invalid_key':
      return [{ path, at: 'key', reason: issue.issues[0]?.message ?? 'is not a valid name' }];
    case 'custom':
      return [withHint({ path, reason: issue.message }, issue.params?.hint)];
    default:
      return [{ path, reason: 'is not valid' }];
  }
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

function withHint(problem: Problem, hint: unknown): Problem {
  return typeof hint === 'string' ? { ...problem, hint } : problem;
}

function unknownKey(parent: Path, key: string): Problem {
  const problem: Problem = { path: [...parent, key], at: 'key', reason: 'is not a known key' };
  if (isLaterKey(parent, key)) return { ...problem, reason: 'is not supported by this version' };
  const words = whyNoKey(parent, key);
  if (words !== undefined) return { ...problem, ...words };
  return withHint(problem, suggestion(key, knownKeysAt(parent)));
}

const typeNames: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

const durations = [
  'hold',
  'keepalive',
  'connectRetry',
  'restartTime',
  'stalePathTime',
  'longLivedStaleTime',
  'restartAfter',
  'idleHold',
  'interval',
  'receive',
  'refresh',
  'retry',
  'expire',
  'probeEvery',
  'forgetAfter',
  'freshFor',
  'expectFor',
  'duplicateWithin',
  'leaseTime',
  'confirm',
  'awaitSpeakers',
];

function isDuration(path: Path): boolean {
  return durations.includes(String(path.at(-1)));
}

function wrongType(path: Path, expected: string, value: unknown): Problem {
  if (value === undefined) return { path, reason: 'is required' };
  if (value === null) return { path, reason: 'is empty', hint: 'give it a value or remove the key' };
  const actual = typeOf(value);
  const only = actual === 'array' ? whyNoList(path) : undefined;
  if (only !== undefined) return { path, reason: only };
  const reason = `must be ${typeNames[expected] ?? expected}, not ${typeNames[actual] ?? actual}`;
  if (expected === 'int' && actual === 'number') return { path, reason: 'must be a whole number' };
  if (expected === 'string' && (actual === 'number' || actual === 'boolean'))
    return {
      path,
      reason,
      hint: isDuration(path) ? 'a duration needs a unit, as in 9s' : 'put it in quotes',
    };
  if (expected === 'boolean' && actual === 'string' && /^(yes|no|on|off)$/i.test(String(value)))
    return { path, reason, hint: 'YAML 1.2 knows only true and false' };
  if (expected === 'array' && actual !== 'object') return { path, reason, hint: 'write [ ] around it' };
  return { path, reason };
}

function wrongChoice(path: Path, choices: readonly string[], value: unknown): Problem {
  if (value === undefined) return { path, reason: 'is required' };
  // A map has no text: those of the document have no prototype either.
  const text = typeof value === 'object' ? '' : String(value);
  const near = nearest(text, choices);
  const problem: Problem = {
    path,
    reason: `must be ${choices.length === 1 ? '' : 'one of '}${choices.join(', ')}`,
  };
  return near === undefined ? problem : { ...problem, hint: `did you mean "${near}"?` };
}

type BoundsIssue = Extract<Issue, { code: 'too_small' | 'too_big' }>;

function outOfBounds(path: Path, issue: BoundsIssue, value: unknown): Problem {
  const small = issue.code === 'too_small';
  const bound = small ? issue.minimum : issue.maximum;
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return { path, reason: 'must be a whole number' };
    return { path, reason: `must be at ${small ? 'least' : 'most'} ${bound}` };
  }
  if (small && Number(bound) === 1) return { path, reason: 'must not be empty' };
  const unit = Array.isArray(value) ? 'entries' : 'characters';
  return { path, reason: `must have at ${small ? 'least' : 'most'} ${bound} ${unit}` };
}

/** The one branch whose type fits, or that got furthest into the value; else the union's own words. */
function chooseBranch(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  root: unknown,
  value: unknown,
) {
  if (value === undefined) return [{ path, reason: 'is required' }];
  if (value === null) return [{ path, reason: 'is empty', hint: 'give it a value or remove the key' }];
  const branches = issue.errors.filter((branch) => !branch.some(isRootTypeIssue));
  const deep = branches.find((branch) =>
    branch.some((one) => one.path.length > 0 || one.code === 'unrecognized_keys'),
  );
  // One branch of fixed words does not tell what else could stand here: the union's own message does.
  const only = branches.length === 1 ? branches[0] : undefined;
  const isWords = only?.every((one) => one.path.length === 0 && one.code === 'invalid_value') === true;
  const chosen = deep ?? (isWords ? undefined : only);
  if (chosen !== undefined) return chosen.flatMap((one) => explain(one as Issue, path, root));
  const words = issue.errors.flatMap((branch) =>
    branch.flatMap((one) => (one.code === 'invalid_value' ? one.values.map(String) : [])),
  );
  const near = typeof value === 'string' ? nearest(value, words) : undefined;
  return [
    withHint({ path, reason: issue.message }, near === undefined ? undefined : `did you mean "${near}"?`),
  ];
}

/** Whether an issue says that the value is of another type altogether. */
function isRootTypeIssue(issue: {
  code?: string | undefined;
  path: readonly PropertyKey[];
  expected?: unknown;
}) {
  return issue.code === 'invalid_type' && issue.path.length === 0 && issue.expected !== 'int';
}

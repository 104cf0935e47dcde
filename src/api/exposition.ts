// The text that Prometheus reads, version 0.0.4 of its exposition format: families with HELP and TYPE, samples a line.
// Written here, because it is this little: a library would keep an object for every series, and counts are kept by
// those whose counts they are.

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export type FamilyType = 'counter' | 'gauge';

/** What comes before the samples of a family, each family once. */
export function familyHead(name: string, type: FamilyType, help: string): string {
  const text = help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
  return `# HELP ${name} ${text}\n# TYPE ${name} ${type}\n`;
}

/** `{peer="eth0",vrf=""}`; nothing for no labels. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

/** `labels` as `labelsText` gives them. */
export function sampleLine(name: string, labels: string, value: number): string {
  return `${name}${labels} ${numberText(value)}\n`;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

function escaped(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, (one) => escapes[one]!) : value;
}

/** As Go reads numbers. */
function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

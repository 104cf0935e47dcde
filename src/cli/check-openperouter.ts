// `leafctl check` of OpenPERouter's files: manifests of its kinds, openpe_*.yaml, node-config.yaml, or a directory of
// them. All that are named together are judged together, because VNIs, sessions and Underlays of several files meet on
// one node. No node is known here, so selectors are tried with every set of labels that they tell apart.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ProblemView } from '../api/views.ts';
import { readText } from '../intent/files-read.ts';
import { loadConfig } from '../intent/load.ts';
import {
  labelSetsOf,
  type OpenperouterInput,
  type ResourceReport,
  readNodeFile,
} from '../intent/openperouter.ts';
import { type ConfigProblem, formatProblem, type SourceText } from '../intent/tree.ts';

export interface JudgedFile {
  file: string;
  problems: ProblemView[];
  warnings: ProblemView[];
}

const ours =
  /(?:^|[\s{,])["']?apiVersion["']?\s*:\s*["']?(openpe\.openperouter\.github\.io|network\.openperouter\.io)\//;
const staticKey = /^(underlays|l3vnis|l2vnis|l3vpns|bgppassthrough|rawfrrconfigs)\s*:/im;
const nodeKey = /^nodeIndex(InterfaceName)?\s*:/im;

/** The files of OpenPERouter that a name stands for: itself, those of a directory, or none. */
export function openperouterFiles(path: string): string[] {
  try {
    if (statSync(path).isDirectory()) return filesIn(path);
    return isOurs(path) ? [path] : [];
  } catch {
    return [];
  }
}

/** A directory as OpenPERouter has it, with `configs` in it, or one of manifests. */
function filesIn(directory: string): string[] {
  const names = readdirSync(directory).sort();
  const configs = names.includes('configs') ? filesIn(join(directory, 'configs')) : [];
  const own = names.filter((name) => /\.(ya?ml|json)$/.test(name)).map((name) => join(directory, name));
  return [...own.filter(isOurs), ...configs];
}

function isOurs(file: string): boolean {
  if (/^(openpe_.*|node-config)\.yaml$/.test(basename(file))) return true;
  if (!statSync(file).isFile()) return false;
  const text = readFileSync(file, 'utf8');
  return (
    ours.test(text) || (!/^(bgp|passthrough)\s*:/m.test(text) && (staticKey.test(text) || nodeKey.test(text)))
  );
}

/** Judges files together; each problem is with the file that it is in. */
export function checkOpenperouter(files: readonly string[]): JudgedFile[] {
  const sources = files.map((file): SourceText => ({ file, text: readText(file) }));
  const isNodeFile = ({ file, text }: SourceText) =>
    basename(file) === 'node-config.yaml' || (nodeKey.test(text) && !ours.test(text));
  const nodeFiles = sources.filter(isNodeFile).map(readNodeFile);
  const resources = sources.filter((source) => !isNodeFile(source));
  const index = nodeFiles
    .map(({ node }) => (node?.nodeIndex?.kind === 'index' ? node.nodeIndex.index.value : 0))
    .reduce((a, b) => Math.max(a, b), 0);
  const found = judge(resources, index);
  const problems = [...nodeFiles.flatMap((one) => one.problems), ...found.problems];
  return files.map((file) => ({
    file,
    problems: inFile(problems, file),
    warnings: inFile(found.warnings, file),
  }));
}

interface Found {
  problems: ConfigProblem[];
  warnings: ConfigProblem[];
}

function judge(sources: readonly SourceText[], index: number): Found {
  const problems: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const reports: ResourceReport[] = [];
  for (const labels of labelSetsOf(sources)) {
    const input: OpenperouterInput = { sources, node: { index, name: 'node', labels } };
    const { openperouter, ...config } = loadConfig([leafdFile], {
      hostname: 'node',
      openperouter: () => input,
    });
    problems.push(...(openperouter?.problems ?? []), ...config.problems);
    warnings.push(...config.warnings.filter(({ where }) => where.file !== leafdFile.file));
    reports.push(...(openperouter?.resources ?? []));
  }
  warnings.push(...reports.filter((one) => isWorthTelling(one, reports)).map(warningOf));
  return { problems, warnings };
}

/** A leafd.yaml that takes everything from the resources. */
const leafdFile: SourceText = { file: 'leafd.yaml', text: 'passthrough: {openperouter: true}' };

/**
 * What is not supported, and what depends on something that is on none of the nodes. That a Secret is not known is no
 * fault of a file.
 */
function isWorthTelling(
  { kind, name, state, reason }: ResourceReport,
  all: readonly ResourceReport[],
): boolean {
  if (state === 'unsupported') return true;
  if (reason !== 'DependencyFailed' || kind === 'Underlay') return false;
  const isSame = (one: ResourceReport) => one.kind === kind && one.name === name;
  return !all.some((one) => isSame(one) && (one.state === 'applied' || one.state === 'unsupported'));
}

function warningOf({ kind, name, where, message = '' }: ResourceReport): ConfigProblem {
  return { where, path: `${kind}/${name}`, reason: message };
}

/** Those of one file in the order of its lines, each once. */
function inFile(problems: readonly ConfigProblem[], file: string): ProblemView[] {
  const own = problems.filter(({ where }) => where.file === file);
  const unique = [...new Map(own.map((one) => [formatProblem(one), one])).values()];
  return unique.sort((a, b) => a.where.line - b.where.line || a.where.column - b.where.column);
}

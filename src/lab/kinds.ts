// What each kind of node runs, as data: programs, Debian packages, arguments, where its control socket is. Daemons
// stay in the foreground, so that the process the lab starts is the daemon itself, and keep every file in the node's
// own directory. How to ask a daemon for its sessions is in sessions.ts.

import { join } from 'node:path';
import { type LabNode, runsLeafd } from './topology.ts';

/** A program to start in a node's namespace. */
export interface ProcessPlan {
  readonly node: string;
  /** Also the log's name: NAME.log in the node's directory. */
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A path that appears when the program is ready; removed before it starts. */
  readonly readyPath?: string;
}

export interface FilePlan {
  readonly path: string;
  readonly text: string;
}

/** All that makes a node's daemon run. */
export interface DaemonPlan {
  readonly files: readonly FilePlan[];
  readonly processes: readonly ProcessPlan[];
  /** Run when all processes are ready, also after a restart: FRR gets its configuration through vtysh. */
  readonly load?: readonly string[];
  /** A system directory the daemon insists on; made when absent and left, for it is the package's. */
  readonly systemDirectory?: string;
  /** The user the node's directory must belong to, for daemons that give up root. */
  readonly owner?: string;
}

/** A program a lab needs and the Debian package that has it. */
export interface ProgramNeed {
  readonly program: string;
  readonly debianPackage: string;
}

/** Paths that differ between machines. */
export interface LabPaths {
  /** The leafd program of this installation. */
  readonly leafd: string;
}

const FRR_DIRECTORY = '/usr/lib/frr';

/** Programs that the nodes of a kind need. */
export function programsOf(kind: LabNode['kind']): ProgramNeed[] {
  const need = (debianPackage: string, ...programs: string[]) =>
    programs.map((program) => ({ program, debianPackage }));
  switch (kind) {
    case 'frr':
      return need('frr', `${FRR_DIRECTORY}/zebra`, `${FRR_DIRECTORY}/bgpd`, 'vtysh');
    case 'bird':
      return need('bird2', 'bird', 'birdc');
    case 'gobgp':
      return need('gobgpd', 'gobgpd', 'gobgp');
    case 'exabgp':
      return need('exabgp', 'exabgp');
    case 'openbgpd':
      return need('openbgpd', 'bgpctl');
    case 'leafd':
    case 'hypervisor':
    case 'host':
    case 'guest':
      return [];
  }
}

/** What a node's daemon needs in `directory`, its own; a host needs nothing. */
export function daemonPlan(node: LabNode, directory: string, paths: LabPaths): DaemonPlan {
  switch (node.kind) {
    case 'host':
    case 'guest':
      return { files: [], processes: [] };
    case 'leafd':
    case 'hypervisor':
      return leafdPlan(node, directory, paths);
    case 'frr':
      return frrPlan(node, directory);
    case 'bird':
      return birdPlan(node, directory);
    case 'gobgp':
      return gobgpPlan(node, directory);
    case 'exabgp':
      return exabgpPlan(node, directory);
    case 'openbgpd':
      return openbgpdPlan(node, directory);
  }
}

/** The file of a node's configuration, by kind. */
function configFileOf(node: LabNode, directory: string): string {
  const names: Record<LabNode['kind'], string> = {
    leafd: 'leafd.yaml',
    hypervisor: 'leafd.yaml',
    frr: 'frr.conf',
    bird: 'bird.conf',
    gobgp: 'gobgpd.yaml',
    exabgp: 'exabgp.conf',
    openbgpd: 'bgpd.conf',
    host: 'none',
    guest: 'none',
  };
  return join(directory, names[node.kind]);
}

/** A daemon's control socket, or leafd's API. */
export function controlSocketOf(node: LabNode, directory: string): string {
  if (runsLeafd(node.kind)) return join(directory, 'leafd.sock');
  if (node.kind === 'bird') return join(directory, 'bird.ctl');
  if (node.kind === 'openbgpd') return join(directory, 'bgpd.sock');
  return directory;
}

function leafdPlan(node: LabNode, directory: string, paths: LabPaths): DaemonPlan {
  const config = configFileOf(node, directory);
  const socket = controlSocketOf(node, directory);
  const argv = [paths.leafd, '--config', config, '--socket', socket, '--state', join(directory, 'state')];
  return {
    files: [{ path: config, text: node.config }],
    processes: [{ node: node.name, program: 'leafd', argv, env: {}, readyPath: socket }],
  };
}

// zebra, then bgpd, and bfdd where BFD is spoken; with one shared file each daemon would complain of the other's lines,
// so vtysh hands it out. The others ask for zebra once and then not for ten seconds, in which bgpd has no sessions and
// bfdd loses its paths: they are started when zebra listens.
function frrPlan(node: LabNode, directory: string): DaemonPlan {
  const config = configFileOf(node, directory);
  const zebra = join(directory, 'zserv.api');
  const daemon = (program: string, ...more: string[]): ProcessPlan => ({
    node: node.name,
    program,
    argv: [
      join(FRR_DIRECTORY, program),
      ...['--vty_socket', directory, '-z', zebra],
      ...['-i', join(directory, `${program}.pid`), '--log', 'stdout'],
      ...more,
    ],
    env: {},
    readyPath: join(directory, `${program}.vty`),
  });
  const wait = 'until [ -S "$0" ]; do sleep 0.02; done; exec "$@"';
  const afterZebra = (plan: ProcessPlan): ProcessPlan => ({
    ...plan,
    argv: ['/bin/sh', '-c', wait, zebra, ...plan.argv],
  });
  // A new zebra makes this socket last of all; that of a former one is removed with any other ready path.
  const processes = [
    { ...daemon('zebra'), readyPath: zebra },
    afterZebra(daemon('bgpd', ...(node.arguments ?? []))),
  ];
  if (/^\s*(neighbor \S+ )?bfd\b/m.test(node.config))
    processes.push(afterZebra(daemon('bfdd', '--bfdctl', join(directory, 'bfdd.sock'))));
  return {
    files: [{ path: config, text: node.config }],
    processes,
    load: ['vtysh', '--vty_socket', directory, '-f', config],
    owner: 'frr',
  };
}

function birdPlan(node: LabNode, directory: string): DaemonPlan {
  const config = configFileOf(node, directory);
  const socket = controlSocketOf(node, directory);
  const files = ['-c', config, '-s', socket, '-P', join(directory, 'bird.pid')];
  const argv = ['bird', '-f', ...files, ...(node.arguments ?? [])];
  return {
    files: [{ path: config, text: node.config }],
    processes: [{ node: node.name, program: 'bird', argv, env: {}, readyPath: socket }],
  };
}

function gobgpPlan(node: LabNode, directory: string): DaemonPlan {
  const config = configFileOf(node, directory);
  const argv = [
    'gobgpd',
    '-f',
    config,
    '-t',
    'yaml',
    '--api-hosts',
    '127.0.0.1:50051',
    '--log-plain',
    ...(node.arguments ?? []),
  ];
  return {
    files: [{ path: config, text: node.config }],
    processes: [{ node: node.name, program: 'gobgpd', argv, env: {} }],
  };
}

function exabgpPlan(node: LabNode, directory: string): DaemonPlan {
  const config = configFileOf(node, directory);
  const env = {
    'exabgp.daemon.daemonize': 'false',
    'exabgp.daemon.user': 'root',
    'exabgp.log.destination': 'stdout',
    'exabgp.api.cli': 'false',
    'exabgp.tcp.bind': '0.0.0.0 ::',
  };
  return {
    files: [{ path: config, text: node.config }],
    processes: [
      { node: node.name, program: 'exabgp', argv: ['exabgp', ...(node.arguments ?? []), config], env },
    ],
  };
}

// The daemon is called bgpd like FRR's, which is elsewhere; its file says where the control socket is. Its children
// confine themselves to /run/openbgpd, which systemd makes for the service.
function openbgpdPlan(node: LabNode, directory: string): DaemonPlan {
  const config = configFileOf(node, directory);
  const socket = controlSocketOf(node, directory);
  const text = /^\s*socket\s/m.test(node.config) ? node.config : `socket "${socket}"\n${node.config}`;
  return {
    systemDirectory: '/run/openbgpd',
    files: [{ path: config, text }],
    processes: [
      {
        node: node.name,
        program: 'bgpd',
        argv: ['/usr/sbin/bgpd', '-d', '-f', config, ...(node.arguments ?? [])],
        env: {},
        readyPath: socket,
      },
    ],
  };
}

/**
 * A command for `exec`, with the node's own control socket put in for the control programs, so that
 * `exec LAB tor9 -- vtysh -c "show bgp summary"` speaks to that node's FRR.
 */
export function withControlSocket(
  node: LabNode,
  directory: string,
  argv: readonly string[],
  ownLeafctl = 'leafctl',
): string[] {
  const [program, ...rest] = argv;
  const socket = controlSocketOf(node, directory);
  const option: Record<string, [kind: LabNode['kind'], option: string]> = {
    vtysh: ['frr', '--vty_socket'],
    birdc: ['bird', '-s'],
    bgpctl: ['openbgpd', '-s'],
    leafctl: ['leafd', '-s'],
  };
  const own = option[program];
  // leafctl is that of this installation, which need not be in the PATH of a namespace.
  const found = program === 'leafctl' ? ownLeafctl : program;
  const kind = runsLeafd(node.kind) ? 'leafd' : node.kind;
  if (own === undefined || own[0] !== kind || rest.includes(own[1])) return [found, ...rest];
  return [found, own[1], socket, ...rest];
}

// The daemons that can be measured: where they are, how they are configured to accept and pass on everything,
// and how they are started in the foreground without touching the kernel's routes.

import { accessSync, constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const DUT_ASN = 65000;
export const DUT_ADDRESS = '10.99.0.1';
export const SENDER_ADDRESS = '10.99.0.2';
export const RECEIVER_ADDRESS = '10.99.0.3';

export interface Dut {
  name: string;
  /** The AS it prepends; 0 for one that copies. */
  asn: number;
  isInstalled(): boolean;
  /** Writes its files into `directory` and returns the command that runs it in the foreground. */
  prepare(directory: string): string[];
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

const BIRD = '/usr/sbin/bird';
const BGPD = '/usr/lib/frr/bgpd';

/** `built` is where the bundled programs of the benchmark lie; `root` is the checkout. */
export function knownDuts(root: string, built: string): Dut[] {
  return [
    {
      name: 'leafd',
      asn: DUT_ASN,
      isInstalled: () => readable(join(root, 'dist', 'leafd.js')),
      prepare: (directory) => {
        const peer = (address: string, asn: number): string =>
          `    - {address: ${address}, remoteAs: ${asn}, families: [ipv4], import: accept-all, export: accept-all}`;
        const lines = [
          'node: {name: bench}',
          'bgp:',
          `  asn: ${DUT_ASN}`,
          `  routerId: ${DUT_ADDRESS}`,
          '  peers:',
          peer(SENDER_ADDRESS, 65001),
          peer(RECEIVER_ADDRESS, 65002),
          'kernel: {fib: false}',
        ];
        const file = join(directory, 'leafd.yaml');
        writeFileSync(file, `${lines.join('\n')}\n`);
        const state = join(directory, 'state');
        const socket = join(directory, 'leafd.sock');
        const program = join(root, 'bin', 'leafd');
        const files = ['--config', file, '--socket', socket, '--state', state];
        // As an operator starts it, with the flags of its first line; for profiles and trials with others instead:
        // LEAFD_BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=DIR'.
        const nodeFlags = process.env.LEAFD_BENCH_NODE_FLAGS?.split(' ').filter((flag) => flag !== '') ?? [];
        return nodeFlags.length === 0
          ? [program, ...files]
          : [process.execPath, ...nodeFlags, program, ...files];
      },
    },
    {
      name: 'bird',
      asn: DUT_ASN,
      isInstalled: () => executable(BIRD),
      prepare: (directory) => {
        const peer = (name: string, address: string, asn: number): string =>
          `protocol bgp ${name} { local ${DUT_ADDRESS} as ${DUT_ASN}; neighbor ${address} as ${asn}; passive on; ` +
          'ipv4 { import all; export all; }; }';
        const lines = [
          `router id ${DUT_ADDRESS};`,
          'protocol device {}',
          peer('sender', SENDER_ADDRESS, 65001),
          peer('receiver', RECEIVER_ADDRESS, 65002),
        ];
        const file = join(directory, 'bird.conf');
        writeFileSync(file, `${lines.join('\n')}\n`);
        return [BIRD, '-f', '-c', file, '-s', join(directory, 'bird.ctl')];
      },
    },
    {
      name: 'frr',
      asn: DUT_ASN,
      isInstalled: () => executable(BGPD),
      prepare: (directory) => {
        const peer = (address: string, asn: number): string[] => [
          ` neighbor ${address} remote-as ${asn}`,
          ` neighbor ${address} passive`,
          ` neighbor ${address} disable-connected-check`,
        ];
        const lines = [
          `router bgp ${DUT_ASN}`,
          ` bgp router-id ${DUT_ADDRESS}`,
          ' no bgp ebgp-requires-policy',
          ' no bgp network import-check',
          ...peer(SENDER_ADDRESS, 65001),
          ...peer(RECEIVER_ADDRESS, 65002),
        ];
        const file = join(directory, 'bgpd.conf');
        writeFileSync(file, `${lines.join('\n')}\n`);
        const files = ['-f', file, '-i', join(directory, 'bgpd.pid'), '--vty_socket', directory];
        return [BGPD, '-Z', '-n', '-S', '-P', '0', ...files];
      },
    },
    {
      name: 'null',
      asn: 0,
      isInstalled: () => true,
      prepare: () => [process.execPath, join(built, 'null-dut.mjs')],
    },
  ];
}

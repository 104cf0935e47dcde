// The daemon's command line. Few words: what can be configured belongs into the file.

import { parseArgs } from 'node:util';
import { DEFAULT_CONFIG_FILE } from '../intent/files.ts';
import { LeafdError } from '../lib/leafd-error.ts';

export interface Arguments {
  mode: 'run' | 'flush' | 'help' | 'version';
  config: string;
  /** Overrides api.socket of the configuration. */
  socket: string | undefined;
  /** What has to outlive the daemon: saved sysctls. */
  state: string;
}

export const usage = `usage: leafd [--config FILE] [--socket PATH] [--state DIR]
       leafd --flush [--state DIR]     remove every route, address and setting of leafd from the kernel;
                                       leafd has to be stopped
       leafd --version | --help

  --config FILE   default ${DEFAULT_CONFIG_FILE}, with its drop-ins
  --socket PATH   of the API; default: api.socket of the configuration
  --state DIR     default /var/lib/leafd

SIGHUP reads the configuration again; SIGTERM stops and leaves the kernel forwarding, for a graceful restart.
`;

/** Throws LeafdError `usage`. */
export function readArguments(argv: readonly string[]): Arguments {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: { type: 'string', short: 'c', default: DEFAULT_CONFIG_FILE },
        socket: { type: 'string', short: 's' },
        state: { type: 'string', default: '/var/lib/leafd' },
        flush: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const mode = values.help ? 'help' : values.version ? 'version' : values.flush ? 'flush' : 'run';
    return { mode, config: values.config, socket: values.socket, state: values.state };
  } catch (error) {
    throw new LeafdError('usage', (error as Error).message.split('\n')[0]!, { hint: 'leafd --help' });
  }
}

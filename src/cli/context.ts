// What a command has in hand: the terminal, the daemon's client made when first needed, and the choice between a JSON
// document and text. A command returns its exit code.

import { Client } from './client.ts';
import { printable } from './table.ts';
import type { Terminal } from './terminal.ts';

/** The options before or after every command. */
export interface GlobalOptions {
  socket?: string;
  json?: boolean;
}

export const DEFAULT_SOCKET = '/run/leafd/leafd.sock';

export class Context {
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly socket: string;

  constructor(terminal: Terminal, options: GlobalOptions) {
    this.terminal = terminal;
    this.json = options.json === true;
    this.socket = options.socket ?? terminal.env.LEAFCTL_SOCKET ?? DEFAULT_SOCKET;
  }

  client(timeoutMs?: number): Client {
    return new Client(this.socket, timeoutMs);
  }

  /** One JSON document, or its text for people. */
  show<View>(view: View, render: (view: View, terminal: Terminal) => string): void {
    this.terminal.out(this.json ? `${JSON.stringify(view)}\n` : render(printable(view), this.terminal));
  }

  /** A remark for people on stderr; programs read views. */
  remark(text: string): void {
    if (!this.json && text !== '') this.terminal.err(text);
  }
}

// FSM errors: a message that the state does not expect (RFC 4271 6.6, RFC 6608).

import { type Fault, FSM_ERROR } from '../wire/bgp/fault.ts';
import { KEEPALIVE, OPEN, ROUTE_REFRESH, UPDATE } from '../wire/bgp/header.ts';
import type { SessionEvent, SessionState } from './state.ts';

const subcodes: Readonly<Record<SessionState, number>> = {
  idle: 0,
  connect: 0,
  active: 0,
  openSent: 1,
  openConfirm: 2,
  established: 3,
};

/** Message types of RFC 4271 4.1 and RFC 2918, and what people call them. */
const messages: Readonly<Partial<Record<SessionEvent['kind'], readonly [type: number, name: string]>>> = {
  openReceived: [OPEN, 'OPEN'],
  openError: [OPEN, 'OPEN'],
  updateReceived: [UPDATE, 'UPDATE'],
  updateError: [UPDATE, 'UPDATE'],
  keepaliveReceived: [KEEPALIVE, 'KEEPALIVE'],
  routeRefreshReceived: [ROUTE_REFRESH, 'ROUTE-REFRESH'],
  routeRefreshError: [ROUTE_REFRESH, 'ROUTE-REFRESH'],
};

/** 5/1 to 5/3; the data is the type of the message, one octet (RFC 6608 3). */
export function unexpectedMessage(state: SessionState, event: SessionEvent['kind']): Fault {
  const [type, name] = messages[event] ?? [0, event];
  return {
    code: FSM_ERROR,
    subcode: subcodes[state],
    disposition: 'reset',
    data: Uint8Array.of(type),
    reason: `unexpected ${name} in ${state}`,
  };
}

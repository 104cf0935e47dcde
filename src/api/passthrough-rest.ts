// REST about L3 passthrough. Where the configuration has none the paths are there all the same and say so.

import type { FastifyInstance } from 'fastify';
import { LeafdError } from '../lib/leafd-error.ts';
import type { Backend, PassthroughBackend } from './backend.ts';
import { passthroughStatus } from './passthrough-view.ts';
import { type Fields, onlyFields } from './query.ts';
import type { PassthroughAction, PassthroughActionView, PassthroughView, StatusView } from './views.ts';

/** Adds them. */
export function addPassthrough(app: FastifyInstance, backend: Backend): void {
  app.get('/v1/passthrough', (request): PassthroughView => {
    onlyFields(request.query as Fields, []);
    return passthroughOf(backend).view();
  });
  for (const [path, action] of actions)
    app.post(`/v1/passthrough/${path}`, (request): PassthroughActionView => {
      onlyFields(bodyOf(request.body), []);
      return passthroughOf(backend).act(action) ?? refuse(action);
    });
}

const actions: readonly (readonly [path: string, action: PassthroughAction])[] = [
  ['confirm', 'confirm'],
  ['rollback', 'rollBack'],
  ['retry', 'retry'],
];

const refusals: Readonly<Record<PassthroughAction, string>> = {
  confirm: 'no trial runs that could be confirmed',
  rollBack: 'no NIC was moved that could be taken back',
  retry: 'nothing was taken back that could be tried again',
};

function refuse(action: PassthroughAction): never {
  throw new LeafdError('conflict', refusals[action], { hint: 'leafctl passthrough' });
}

/** Actions take no body; an empty one, or `{}`, is none. */
function bodyOf(body: unknown): Fields {
  return typeof body === 'object' && body !== null ? (body as Fields) : {};
}

function passthroughOf({ passthrough }: Backend): PassthroughBackend {
  if (passthrough !== undefined) return passthrough;
  throw new LeafdError('not-found', 'there is no passthrough here', {
    hint: 'passthrough: in leafd.yaml puts the speaker into a router namespace',
  });
}

/** The status with the part of passthrough. */
export function withPassthrough(status: StatusView, { passthrough }: Backend): StatusView {
  return passthrough === undefined
    ? status
    : { ...status, passthrough: passthroughStatus(passthrough.view()) };
}

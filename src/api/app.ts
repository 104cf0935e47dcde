// The REST routes over a Backend, for one way in: the unix socket, where the kernel says who asks and root may write,
// or loopback TCP, which only reads and looks at the Host header (a web page of another origin could otherwise reach
// it through DNS rebinding). Errors have one shape, whatever went wrong and wherever in the HTTP stack.

import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import type { Backend, ConfigAnswer } from './backend.ts';
import type { EventRing } from './events.ts';
import { EXPOSITION_TYPE } from './exposition.ts';
import { addGuests, explained, withGuests } from './guest-rest.ts';
import { metricsText } from './metrics.ts';
import { addPassthrough, withPassthrough } from './passthrough-rest.ts';
import {
  actionOf,
  actionText,
  configFiles,
  DEFAULT_ROWS,
  MAX_ROWS,
  nameOf,
  numberOf,
  onlyFields,
  routesQuery,
} from './query.ts';
import { type Limits, serveEventStream } from './stream.ts';
import { Turns } from './turns.ts';
import type { ErrorBody, ErrorView } from './views.ts';

export interface AppOptions {
  backend: Backend;
  events: EventRing;
  way: 'unix' | 'tcp';
  limits: Limits;
  /** On the unix socket: whether the process at the other end may change things. */
  mayWrite: (request: FastifyRequest) => boolean;
  /** A bug of ours: told here, never to the client. */
  onBug: (error: unknown, request: string) => void;
}

const MAX_BODY_BYTES = 4 << 20;

/** HTTP status of each error code. */
const statusOf: Readonly<Record<string, number>> = {
  'bad-request': 400,
  'config-invalid': 422,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  'unsupported-media-type': 415,
  'too-many': 429,
};

/** The routes, ready to listen or to be injected into. */
export function createApp(options: AppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: 30_000,
    connectionTimeout: 0,
    forceCloseConnections: true,
    return503OnClosing: true,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: (error, _request, reply) => {
      sendError(reply, 400, { code: 'bad-request', message: textOf(error) });
    },
    clientErrorHandler: (_error, socket) => {
      const body = JSON.stringify({ error: { code: 'bad-request', message: 'not a valid HTTP request' } });
      if (!socket.writable) return;
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
          `Connection: close\r\n\r\n${body}`,
      );
    },
  });
  app.server.maxConnections = options.limits.connections;
  app.addContentTypeParser(
    ['application/yaml', 'text/yaml', 'application/x-yaml', 'text/plain'],
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
  app.addHook('onRequest', (request, _reply, done) => done(refusal(request, options)));
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    done(null, payload);
  });
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, options));
  app.setNotFoundHandler((request, reply) => {
    const message = `there is no ${request.method} ${request.url.split('?')[0]!.slice(0, 100)}`;
    sendError(reply, 404, { code: 'not-found', message });
  });
  addQueries(app, options);
  addEvents(app, options);
  addCommands(app, options);
  addGuests(app, options.backend);
  addPassthrough(app, options.backend);
  return app;
}

/** Why a request is not even looked at. */
function refusal(request: FastifyRequest, options: AppOptions): LeafdError | undefined {
  const reads = request.method === 'GET' || request.method === 'HEAD';
  if (options.way === 'tcp') {
    if (!isLoopbackHost(request.headers.host))
      return new LeafdError('forbidden', 'the Host header names another machine', {
        hint: 'use 127.0.0.1 or localhost',
      });
    if (!reads) return new LeafdError('forbidden', 'TCP only reads', { hint: 'use the unix socket as root' });
    return undefined;
  }
  if (reads || options.mayWrite(request)) return undefined;
  return new LeafdError('forbidden', 'only root may change things', { hint: 'use sudo' });
}

function isLoopbackHost(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d{1,5}$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}

type Named = { Params: { name: string } };
type Fields = Readonly<Record<string, unknown>>;

function addQueries(app: FastifyInstance, { backend, limits }: AppOptions): void {
  const turns = new Turns(limits.questions);
  const inTurn = <View>(request: FastifyRequest, work: () => View | Promise<View>) =>
    turns.take(work, () => request.raw.socket.destroyed);
  app.get('/v1/status', () => withPassthrough(withGuests(backend.status(), backend), backend));
  app.get('/v1/peers', (request) => {
    onlyFields(request.query as Fields, []);
    return { peers: backend.peers() };
  });
  app.get<Named>('/v1/peers/:name', (request) => {
    const name = nameOf('name', request.params.name);
    return backend.peer(name) ?? absent(`peer ${name}`, 'leafctl peers lists them');
  });
  app.get('/v1/routes', (request) => {
    const query = routesQuery(request.query as Fields);
    const answer = () => backend.routes(query) ?? absent(`peer ${query.peer}`, 'leafctl peers lists them');
    return inTurn(request, answer);
  });
  const why = (thing: unknown) => {
    const name = nameOf('thing', thing);
    return explained(backend, name) ?? absent(...nothingAbout(name));
  };
  app.get<{ Params: { '*': string } }>('/v1/why/*', (request) => why(request.params['*']));
  app.get('/v1/why', (request) => {
    onlyFields(request.query as Fields, ['thing']);
    return why((request.query as Fields).thing);
  });
  app.get('/v1/kernel', (request) => {
    onlyFields(request.query as Fields, ['limit']);
    const limit = numberOf(request.query as Fields, 'limit', 1, MAX_ROWS, DEFAULT_ROWS);
    return inTurn(request, () => backend.kernel({ limit }));
  });
  app.get('/v1/rpki', (request) => {
    onlyFields(request.query as Fields, []);
    return backend.rpki();
  });
  app.get('/v1/schema', () => backend.schema());
  // Where Prometheus looks; what is asked beside it (`?format=`) is for others.
  app.get('/metrics', async (request, reply) => {
    const text = () => metricsText(backend.metrics(), backend.passthrough?.view().state);
    return reply.type(EXPOSITION_TYPE).send(Readable.from((await inTurn(request, text)) ?? []));
  });
}

/** What is missing, in the words of what was asked for. */
function nothingAbout(thing: string): [what: string, hint: string] {
  if (parsePrefix(thing) !== undefined)
    return [`route ${thing}`, 'leafctl why ADDRESS asks for the longest match'];
  if (parseIp(thing) !== undefined)
    return [`route to ${thing}, nor a peer of that address`, 'leafctl routes'];
  return [
    `peer, interface or guest ${thing}, nor is it a prefix or an address`,
    'leafctl peers lists the peers',
  ];
}

function absent(what: string, hint: string): never {
  throw new LeafdError('not-found', `there is no ${what}`, { hint });
}

function addEvents(
  app: FastifyInstance,
  { events, limits: { subscribers, ...others }, way }: AppOptions,
): void {
  // Everybody on this machine may listen over TCP: half of the places stay for the unix socket.
  const limits = { ...others, subscribers: way === 'tcp' ? Math.ceil(subscribers / 2) : subscribers };
  app.get('/v1/events', (request, reply) => {
    const fields = request.query as Fields;
    onlyFields(fields, ['since', 'limit']);
    const asked = String(request.headers.accept ?? '').includes('text/event-stream');
    // A HEAD has no body that could stream.
    const wantsStream = asked && request.method === 'GET';
    if (wantsStream) return serveEventStream(request, reply, events, limits);
    const since = numberOf(fields, 'since', 0, Number.MAX_SAFE_INTEGER, 0);
    const found = events.since(since, numberOf(fields, 'limit', 1, MAX_ROWS, DEFAULT_ROWS));
    return { ...found, next: found.events.at(-1)?.id ?? events.last };
  });
}

function addCommands(app: FastifyInstance, { backend }: AppOptions): void {
  let busy = false;
  const alone = async <View>(work: () => Promise<ConfigAnswer<View>>, reply: FastifyReply) => {
    if (busy)
      throw new LeafdError('too-many', 'another configuration is being judged', { hint: 'try again' });
    busy = true;
    try {
      const answer = await work();
      if (answer.kind === 'done') return answer.view;
      return sendError(reply, 422, {
        code: 'config-invalid',
        message: `the configuration has ${answer.problems.length} problem${answer.problems.length === 1 ? '' : 's'}`,
        problems: answer.problems,
        ...(answer.problems[0] === undefined ? {} : { where: answer.problems[0].where }),
      });
    } finally {
      busy = false;
    }
  };
  app.post('/v1/plan', (request, reply) => alone(() => backend.plan(configFiles(request.body)), reply));
  app.post('/v1/apply', (request, reply) => alone(() => backend.apply(configFiles(request.body)), reply));
  app.post<{ Params: { name: string; action: string } }>('/v1/peers/:name/:action', (request) => {
    const name = nameOf('name', request.params.name);
    const action = actionOf(request.params.action);
    const view = backend.peerAction(name, action, actionText(request.body));
    return view ?? absent(`peer ${name}`, 'leafctl peers lists them');
  });
}

function sendError(reply: FastifyReply, status: number, error: ErrorBody): FastifyReply {
  const view: ErrorView = { error };
  return reply.code(status).type('application/json; charset=utf-8').send(view);
}

function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  options: AppOptions,
): void {
  if (error instanceof LeafdError) {
    const body: ErrorBody = { code: error.code, message: error.message };
    if (error.hint !== undefined) body.hint = error.hint;
    if (error.where !== undefined) body.where = error.where;
    sendError(reply, statusOf[error.code] ?? 500, body);
    return;
  }
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const codes: Record<number, string> = { 413: 'too-large', 415: 'unsupported-media-type' };
    sendError(reply, statusCode, { code: codes[statusCode] ?? 'bad-request', message: textOf(error) });
    return;
  }
  options.onBug(error, `${request.method} ${request.url}`);
  sendError(reply, 500, {
    code: 'internal',
    message: 'leafd failed to answer',
    hint: `its log says why (${code ?? 'bug'})`,
  });
}

/** One line of an error of the HTTP stack, which may quote what the client sent. */
function textOf(error: unknown): string {
  return String((error as Error).message ?? error)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 200);
}

// What the API asks of the daemon: queries that give views, and the few things that can be done. The daemon
// implements it; tests use a fake. Queries answer from memory at once, in bounded time (`limit`); `undefined` means
// that the thing asked for does not exist. A LeafdError thrown becomes an error answer with its code, message, hint.

import type { Binding } from '../guests/binding.ts';
import type { MetricsSource } from './metrics.ts';
import type {
  ActionView,
  ApplyView,
  FamilyName,
  GuestCountsView,
  GuestView,
  GuestWhyView,
  KernelView,
  PassthroughAction,
  PassthroughActionView,
  PassthroughView,
  PeerAction,
  PeerDetailView,
  PeerView,
  PlanView,
  ProblemView,
  RoutesView,
  RpkiView,
  StatusView,
  WhyView,
} from './views.ts';

export interface Backend {
  status(): StatusView;
  peers(): PeerView[];
  peer(name: string): PeerDetailView | undefined;
  /** `undefined` when the peer asked for does not exist. */
  routes(query: RoutesQuery): RoutesView | undefined;
  /** `thing` is a prefix, an address, a peer's name or an interface. */
  why(thing: string): WhyView | undefined;
  kernel(query: KernelQuery): KernelView | Promise<KernelView>;
  rpki(): RpkiView;
  /** What is counted now. */
  metrics(): MetricsSource;
  /** Judges a configuration and says what it would change; changes nothing. */
  plan(files: ConfigFile[]): Promise<ConfigAnswer<PlanView>>;
  /** Puts a configuration in force, whole or not at all. */
  apply(files: ConfigFile[]): Promise<ConfigAnswer<ApplyView>>;
  /** `text` goes to the peer with the notification (RFC 9003). */
  peerAction(name: string, action: PeerAction, text?: string): ActionView | undefined;
  /** JSON Schema of leafd.yaml. */
  schema(): unknown;
  /** Absent while the configuration has no `guests:`; looked at for each request, since that can change. */
  readonly guests?: GuestsBackend | undefined;
  /** Absent while the configuration has no `passthrough:`; looked at for each request. */
  readonly passthrough?: PassthroughBackend | undefined;
}

/** L3 passthrough of this machine. */
export interface PassthroughBackend {
  view(): PassthroughView;
  /** `undefined` where there is nothing to confirm, take back or try again. */
  act(action: PassthroughAction): PassthroughActionView | undefined;
}

/** A binding as it is asked for: since when it is there, and until when expected, the daemon adds. */
export interface AttachRequest {
  binding: Omit<Binding, 'sinceMs' | 'expected'>;
  /** A binding of this name that is expected stays so. */
  keepExpected: boolean;
  expect?: ExpectRequest;
}

export interface ExpectRequest {
  from?: string;
  /** Absent: `guests.moves.expectFor`. */
  forMs?: number;
  qmp?: string;
}

/**
 * Guests of this machine. Texts have been judged; an address that is reserved or somebody's is a `conflict`. What
 * changes something may answer later, when it is on disk too.
 */
export interface GuestsBackend {
  list(): GuestView[];
  /** By the name of a binding, or of a port with learned addresses. */
  one(name: string): GuestView | undefined;
  counts(): GuestCountsView;
  /** All or none, in their order; a binding of the same name is replaced. The kernel has them when it returns. */
  attach(requests: readonly AttachRequest[]): Later<GuestView[]>;
  /** Without `binding` the one of this name that is there; `undefined` when there is none. */
  expect(
    name: string,
    binding: AttachRequest['binding'] | undefined,
    expect: ExpectRequest,
  ): Later<GuestView | undefined>;
  /** Whether there was one. Bindings of leafd.yaml are a `conflict`. */
  detach(name: string): Later<boolean>;
  /** Whether the address was frozen. */
  clear(address: Uint8Array): Later<boolean>;
  /** `undefined` when nothing is known of the address as a guest's. */
  why(address: Uint8Array): GuestWhyView | undefined;
}

type Later<Answer> = Answer | Promise<Answer>;

/** A configuration that was refused is an answer, not an error: it carries every problem. */
export type ConfigAnswer<View> = { kind: 'done'; view: View } | { kind: 'invalid'; problems: ProblemView[] };

/** The main file first, then its drop-ins. */
export interface ConfigFile {
  /** As errors name it. */
  file: string;
  text: string;
}

/** All given conditions hold. The text of prefixes and addresses has been checked. */
export interface RoutesQuery {
  family?: FamilyName;
  /** Exactly this prefix. */
  prefix?: string;
  /** The longest match of this address. */
  for?: string;
  /** With `received` or `advertised` required; else only paths learned from it. */
  peer?: string;
  community?: string;
  /** Paths as received, before policy, rejected ones too. */
  received: boolean;
  /** What is sent to the peer. */
  advertised: boolean;
  /** 1 to 10000 rows. */
  limit: number;
  /** `next` of the page before; opaque. */
  cursor?: string;
}

export interface KernelQuery {
  /** Rows a list. */
  limit: number;
}

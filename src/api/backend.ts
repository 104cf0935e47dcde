// What the API asks of the daemon: queries that give views, and the few things that can be done. The daemon
// implements it; tests use a fake. Queries answer from memory at once, in bounded time (`limit`); `undefined` means
// that the thing asked for does not exist. A LeafdError thrown becomes an error answer with its code, message, hint.

import type {
  ActionView,
  ApplyView,
  FamilyName,
  KernelView,
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
  /** Judges a configuration and says what it would change; changes nothing. */
  plan(files: ConfigFile[]): Promise<ConfigAnswer<PlanView>>;
  /** Puts a configuration in force, whole or not at all. */
  apply(files: ConfigFile[]): Promise<ConfigAnswer<ApplyView>>;
  /** `text` goes to the peer with the notification (RFC 9003). */
  peerAction(name: string, action: PeerAction, text?: string): ActionView | undefined;
  /** JSON Schema of leafd.yaml. */
  schema(): unknown;
}

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

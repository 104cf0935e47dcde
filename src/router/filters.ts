// From policies to the filters that the rib calls: which policy a session has in each direction (RFC 8212 and the
// profile decide where the operator did not), and the translation between the rib's query and the policy's input.
// One filter object serves all peers with the same policy, so that the rib keeps its verdicts once.
//
// What a session asks for beside its policy is in the filter as well: only routes of our own (a host), the least
// preference for what comes from where we drain (RFC 8326 section 4.2), no default route where we give one ourselves,
// flow specifications that may be believed (flow-validation.ts).

import { defaultPolicies } from '../intent/profile.ts';
import { ByteWriter, readU32, writeU32 } from '../lib/bytes.ts';
import type { Prefix } from '../net/prefix.ts';
import { evaluate } from '../policy/evaluate.ts';
import { clearNlri, fillNlri } from '../policy/nlri-input.ts';
import {
  ACCEPT,
  type CompiledPolicy,
  IF_SOURCE,
  NEXT_HOP_ADDRESS,
  NEXT_HOP_SELF,
  newPolicyInput,
  newPolicyOutput,
  NEXT_HOP_UNCHANGED as POLICY_UNCHANGED,
  type PolicyInput,
  SET_MED,
  sourceCodes,
} from '../policy/program.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import { NEXT_HOP_KEEP, type RouteFilter, type RouteQuery, type RouteVerdict } from '../rib/route-filter.ts';
import { type ExportedPath, exportedOriginAsn, originAsn } from '../rpki/origin.ts';
import type { Negotiated } from '../session/negotiate.ts';
import { setU32Attribute, u32Attribute } from '../wire/bgp/attribute/canonical.ts';
import { LOCAL_PREF, MED } from '../wire/bgp/attribute/table.ts';
import { FLOWSPEC4, FLOWSPEC6, IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import type { LocalSource, Offer } from './origination.ts';
import type { Peer } from './peer.ts';
import type { Router } from './router.ts';

/** Name and text of a session's policy, for display. */
export interface PolicyChoice {
  /** The operator's policy, or the built-in one that the profile or RFC 8212 chose. */
  name: string;
  policy: CompiledPolicy | undefined;
  /** Only what this router originates, whatever the policy says. */
  ownOnly: boolean;
  rejectsAll: boolean;
  /** Import: we are about to leave the session, so that its routes are the last choice. */
  draining?: true;
  /** Import of flow specifications: only those that may be believed. */
  validated?: true;
  /** Export: the peer has a default route from us, whatever we have. */
  noDefault?: true;
  /** Export to the outside: what happens to the path, where the policy asks for its origin (RFC 8893). */
  exported?: ExportedPath;
}

/** How a route stands (RFC 6811): 0 not found, 1 valid, 2 invalid; `originAsn` 0 where it cannot be told. */
export type ValidateOrigin = (
  family: number,
  a: number,
  b: number,
  c: number,
  d: number,
  length: number,
  originAsn: number,
) => 0 | 1 | 2;

const rejecting: RouteFilter = {
  readsPrefix: false,
  readsNextHop: false,
  readsPeer: false,
  evaluate: (_query, verdict) => {
    verdict.accept = false;
  },
};

const LOCAL_SOURCES =
  (1 << sourceCodes.local) |
  (1 << sourceCodes.guest) |
  (1 << sourceCodes.connected) |
  (1 << sourceCodes.static) |
  (1 << sourceCodes.kernel);

export class FilterFactory {
  readonly #router: Router;
  readonly #input = newPolicyInput();
  readonly #output = newPolicyOutput();
  #config: RouterConfig;
  /** By policy, or by name where there is none; then by family and direction. */
  readonly #byPolicy = new WeakMap<CompiledPolicy, Map<string, RouteFilter>>();
  readonly #byName = new Map<string, RouteFilter>();
  readonly #nextHopIds = new Map<string, number>();
  readonly #lowered = new ByteWriter(512);
  #validate: ValidateOrigin | undefined;

  constructor(router: Router) {
    this.#router = router;
    this.#config = router.config;
  }

  /** Filters stay with their policies: whoever keeps a policy over a reload keeps its verdicts. */
  configure(config: RouterConfig): void {
    this.#config = config;
  }

  /** `family`: by its id, where it may have a policy of its own. */
  importChoice(peer: Peer, internal: boolean, family = -1): PolicyChoice {
    const policy = peer.config.byFamily?.[family]?.import ?? peer.config.import;
    const drains = !internal && (peer.config.gracefulShutdown || this.#config.gracefulShutdown);
    const validates = isFlow(family) && (peer.config.flowspecValidation ?? !internal);
    const more = {
      ...(drains && { draining: true as const }),
      ...(validates && { validated: true as const }),
    };
    if (policy !== undefined)
      return { name: policy.name, policy, ownOnly: false, rejectsAll: false, ...more };
    const name = defaultPolicies(this.#profile(), internal).import;
    return { name, policy: undefined, ownOnly: false, rejectsAll: name === 'reject-all', ...more };
  }

  /** As `importChoice`. */
  exportChoice(peer: Peer, internal: boolean, family = -1): PolicyChoice {
    const policy = peer.config.byFamily?.[family]?.export ?? peer.config.export;
    const ownOnly = this.#config.profile === 'host';
    const given = peer.config.byFamily?.[family]?.defaultOriginate ?? peer.config.defaultOriginate;
    const hasOwn = given !== undefined && (family === IPV4 || family === IPV6);
    const noDefault = hasOwn ? ({ noDefault: true } as const) : {};
    if (policy !== undefined) {
      const exported = !internal && policy.readsRpki ? { exported: this.#exportedPath(peer) } : {};
      return { name: policy.name, policy, ownOnly, rejectsAll: false, ...noDefault, ...exported };
    }
    const name = defaultPolicies(this.#profile(), internal).export;
    return {
      name,
      policy: undefined,
      ownOnly: ownOnly || name === 'own-only',
      rejectsAll: name === 'reject-all',
      ...noDefault,
    };
  }

  #exportedPath({ config, index }: Peer): ExportedPath {
    const { localAs, removePrivateAs, asOverride } = config;
    return {
      ownAsn: localAs?.replaceAs === true ? localAs.asn : this.#ownAsn,
      ...(removePrivateAs && { removePrivateAs }),
      ...(asOverride && { overriddenAsn: this.#router.peerTable.asn[index]! }),
    };
  }

  /** The AS the world outside knows us by. */
  get #ownAsn(): number {
    return this.#config.confederation?.id ?? this.#config.asn;
  }

  importFor(peer: Peer, negotiated: Negotiated, family: number): RouteFilter | undefined {
    return this.#filter(this.importChoice(peer, isInside(negotiated), family), family, 'import');
  }

  exportFor(peer: Peer, negotiated: Negotiated, family: number): RouteFilter | undefined {
    return this.#filter(this.exportChoice(peer, isInside(negotiated), family), family, 'export');
  }

  /** The filter of a policy that is not that of a session, on the way out. */
  filterOf(policy: CompiledPolicy | undefined, family: number): RouteFilter | undefined {
    const name = policy?.name ?? '';
    return this.#filter({ name, policy, ownOnly: false, rejectsAll: false }, family, 'export');
  }

  /** How origins are validated from now on, undefined for not at all; what was judged before is the caller's. */
  setOriginValidation(validate: ValidateOrigin | undefined): void {
    this.#validate = validate;
  }

  /** Runs the policy of a route of our own; undefined refuses it. */
  shape(prefix: Prefix, source: LocalSource, { policy, attributes, tag }: Offer): Uint8Array | undefined {
    if (policy === undefined) return attributes;
    const input = this.#input;
    const four = prefix.bytes.length === 4;
    input.family = four ? IPV4 : IPV6;
    input.a = readU32(prefix.bytes, 0);
    input.b = four ? 0 : readU32(prefix.bytes, 4);
    input.c = four ? 0 : readU32(prefix.bytes, 8);
    input.d = four ? 0 : readU32(prefix.bytes, 12);
    input.length = prefix.length;
    clearNlri(input);
    input.igpMetric = 0;
    this.#asLocal(source);
    input.tag = tag ?? 0;
    input.attrs = attributes;
    input.start = 0;
    input.end = attributes.length;
    input.nextHopLength = 0;
    input.rpki = policy.readsRpki ? this.#originState(input) : 0;
    if (evaluate(policy, input, this.#output) !== ACCEPT) return undefined;
    return this.#output.attrsChanged ? this.#output.attrs.take() : attributes;
  }

  /** What there is in an NLRI that is more than a prefix. */
  #fillNlri(rib: Rib, prefixId: number, dataId: number): void {
    const keys = rib.prefixes.keys!;
    const at = keys.offset(prefixId);
    const key = keys.page(prefixId);
    const data = rib.nlriData;
    const rest = dataId === 0 ? key : data.page(dataId);
    const restAt = dataId === 0 ? 0 : data.offset(dataId);
    fillNlri(
      this.#input,
      rib.family,
      key,
      at,
      at + keys.length[prefixId]!,
      rest,
      restAt,
      restAt + data.length(dataId),
    );
  }

  /** The state of a route of the input record. */
  #originState(input: PolicyInput, exported?: ExportedPath): number {
    if (this.#validate === undefined || (input.family !== IPV4 && input.family !== IPV6)) return 0;
    const { attrs, start, end } = input;
    const origin =
      exported === undefined
        ? originAsn(attrs, start, end, this.#ownAsn)
        : exportedOriginAsn(attrs, start, end, exported);
    return this.#validate(input.family, input.a, input.b, input.c, input.d, input.length, origin);
  }

  /** The policy input of a received path, for an explanation; valid until the next use of a filter. */
  inputFor(rib: Rib, prefixId: number, attrId: number, peer: number, nextHopId: number): PolicyInput {
    const input = this.#input;
    input.family = rib.family;
    clearNlri(input);
    if (rib.form === 'opaque') {
      input.length = -1;
      const path = rib.prefixes.firstPath[prefixId]!;
      this.#fillNlri(rib, prefixId, path === 0 ? 0 : rib.paths.nlriDataOf(path));
    } else {
      const { address, words, length } = rib.table;
      input.a = address[prefixId * words]!;
      input.b = words === 1 ? 0 : address[prefixId * 4 + 1]!;
      input.c = words === 1 ? 0 : address[prefixId * 4 + 2]!;
      input.d = words === 1 ? 0 : address[prefixId * 4 + 3]!;
      input.length = length[prefixId]!;
    }
    input.igpMetric = this.#router.nextHopTable.metric[nextHopId]!;
    input.attrs = rib.pool.page(attrId);
    input.start = rib.pool.offset(attrId);
    input.end = input.start + rib.pool.length[attrId]!;
    input.localAsn = this.#config.asn;
    this.#asLearned(peer);
    this.#setNextHop(nextHopId);
    input.rpki = this.#originState(input);
    return input;
  }

  #profile(): 'fabric' | 'host' | undefined {
    return this.#config.profile === 'none' ? undefined : this.#config.profile;
  }

  #filter(choice: PolicyChoice, family: number, direction: 'import' | 'export'): RouteFilter | undefined {
    if (choice.rejectsAll) return rejecting;
    // What accepts everything unchanged need not be asked.
    const { policy, ownOnly, draining, noDefault, validated, exported } = choice;
    const isOpen = policy === undefined || (policy.ruleCount === 0 && policy.defaultVerdict === ACCEPT);
    const asksMore = ownOnly || draining || noDefault || validated;
    if (isOpen && !asksMore) return undefined;
    const path = exported === undefined ? '' : JSON.stringify(exported);
    const flags = [ownOnly, draining === true, noDefault === true, validated === true].join(' ');
    const key = `${direction} ${family} ${flags} ${choice.name} ${path}`;
    const filters = policy === undefined ? this.#byName : this.#filtersOf(policy);
    let filter = filters.get(key);
    if (filter === undefined) filters.set(key, (filter = this.#make(choice, family, direction)));
    return filter;
  }

  #filtersOf(policy: CompiledPolicy): Map<string, RouteFilter> {
    let filters = this.#byPolicy.get(policy);
    if (filters === undefined) this.#byPolicy.set(policy, (filters = new Map()));
    return filters;
  }

  #make(choice: PolicyChoice, family: number, direction: 'import' | 'export'): RouteFilter {
    const { policy, ownOnly, draining, noDefault, validated } = choice;
    const setsMed = policy?.change.includes(SET_MED) === true;
    const filter: RouteFilter = {
      readsPrefix:
        noDefault === true ||
        validated === true ||
        (policy !== undefined && (policy.readsPrefix || policy.readsRpki || tellsLocalSourcesApart(policy))),
      readsNextHop: policy?.readsNextHop === true,
      readsPeer: ownOnly || validated === true || policy?.readsPeer === true,
      evaluate: (query, verdict) => {
        if (ownOnly && query.peer !== LOCAL_PEER) {
          verdict.accept = false;
          return;
        }
        if (noDefault === true && query.prefixLength === 0) {
          verdict.accept = false;
          return;
        }
        if (policy !== undefined)
          this.#run(policy, choice.exported, family, direction, setsMed, query, verdict);
        if (draining === true && verdict.accept) this.#lower(query, verdict);
        if (validated === true && verdict.accept) this.#router.flowValidation.judge(family, query, verdict);
      },
    };
    if (validated === true) this.#router.flowValidation.watch(filter);
    return filter;
  }

  /** LOCAL_PREF 0, whatever the policy has made of it. */
  #lower(query: RouteQuery, verdict: RouteVerdict): void {
    const { attrs, attrsChanged } = verdict;
    const out = this.#lowered.reset();
    if (attrsChanged) setU32Attribute(out, attrs.bytes, 0, attrs.length, LOCAL_PREF, 0);
    else setU32Attribute(out, query.bytes, query.start, query.end, LOCAL_PREF, 0);
    verdict.attrsChanged = true;
    attrs.reset().copy(out.bytes, 0, out.length);
  }

  #run(
    policy: CompiledPolicy,
    exported: ExportedPath | undefined,
    family: number,
    direction: 'import' | 'export',
    setsMed: boolean,
    query: RouteQuery,
    verdict: RouteVerdict,
  ): void {
    const input = this.#input;
    const output = this.#output;
    input.family = family;
    input.a = query.a;
    input.b = query.b;
    input.c = query.c;
    input.d = query.d;
    input.length = query.prefixLength;
    if (family > IPV6 && policy.readsPrefix)
      this.#fillNlri(this.#router.ribs[family]!, query.prefixId, query.nlriDataId);
    input.attrs = query.bytes;
    input.start = query.start;
    input.end = query.end;
    if (direction === 'import') input.attrsKey = this.#router.pool.birth[query.attrId]!;
    input.localAsn = this.#config.asn;
    this.#fillOrigin(policy, query);
    this.#setNextHop(query.nextHopId);
    if (policy.readsRpki) input.rpki = this.#originState(input, exported);
    input.igpMetric = this.#router.nextHopTable.metric[query.nextHopId]!;
    const accepted = evaluate(policy, input, output) === ACCEPT;
    verdict.accept = accepted;
    if (!accepted) return;
    verdict.weight = output.weight;
    verdict.attrsChanged = output.attrsChanged;
    if (output.attrsChanged) {
      verdict.attrs.reset().copy(output.attrs.bytes, 0, output.attrs.length);
      verdict.medSet = setsMed && this.#medChanged(query, verdict);
    }
    if (output.nextHop === NEXT_HOP_ADDRESS) verdict.nextHopId = this.#nextHopId(output.nextHopAddress);
    else if (direction === 'export') {
      if (output.nextHop === NEXT_HOP_SELF) verdict.nextHopId = 0;
      if (output.nextHop === POLICY_UNCHANGED) verdict.nextHopId = NEXT_HOP_KEEP;
    }
  }

  #medChanged(query: RouteQuery, verdict: RouteVerdict): boolean {
    const med = u32Attribute(verdict.attrs.bytes, 0, verdict.attrs.length, MED);
    return med >= 0 && med !== u32Attribute(query.bytes, query.start, query.end, MED);
  }

  #fillOrigin(policy: CompiledPolicy, query: RouteQuery): void {
    if (query.peer !== LOCAL_PEER) {
      this.#asLearned(query.peer);
      return;
    }
    const { origination } = this.#router;
    const asked = query.prefixLength >= 0 && (policy.readsPeer || policy.readsTag);
    const prefix = asked ? this.#prefixOf(query) : undefined;
    this.#asLocal((policy.readsPeer ? prefix && origination.sourceOf(prefix) : undefined) ?? 'local');
    if (prefix !== undefined && policy.readsTag) this.#input.tag = origination.tagOf(prefix);
  }

  #asLearned(peer: number): void {
    this.#input.peerName = this.#router.directory.byIndex[peer]?.name ?? '';
    this.#input.peerAsn = this.#router.peerTable.asn[peer]!;
    this.#input.source = sourceCodes.bgp;
    this.#input.tag = 0;
  }

  #setNextHop(id: number): void {
    const { address, addressLength } = this.#router.nextHopTable;
    this.#input.nextHop = address;
    this.#input.nextHopStart = id * 16;
    this.#input.nextHopLength = addressLength[id]!;
  }

  #asLocal(source: LocalSource): void {
    this.#input.peerName = '';
    this.#input.peerAsn = 0;
    this.#input.source = sourceCodes[source];
    this.#input.tag = 0;
    this.#input.localAsn = this.#config.asn;
  }

  #prefixOf(query: RouteQuery): Prefix {
    const words = this.#input.family === IPV4 ? [query.a] : [query.a, query.b, query.c, query.d];
    const bytes = new Uint8Array(words.length * 4);
    for (let i = 0; i < words.length; i++) writeU32(bytes, i * 4, words[i]!);
    return { bytes, length: query.prefixLength };
  }

  /** Next hops that policies set live as long as the router: they are few. */
  #nextHopId(address: Uint8Array): number {
    const key = address.join('.');
    let id = this.#nextHopIds.get(key);
    if (id === undefined) {
      id = this.#router.nextHopTable.intern(address, 0, address.length, 0);
      this.#nextHopIds.set(key, id);
    }
    return id;
  }
}

const isFlow = (family: number): boolean => family === FLOWSPEC4 || family === FLOWSPEC6;

/** RFC 8212 is about sessions with other ASes; a confederation is one (RFC 5065). */
function isInside({ internal, confederation }: Negotiated): boolean {
  return internal || confederation;
}

/** Whether a rule treats, say, connected and static routes differently: then the verdict depends on the prefix. */
function tellsLocalSourcesApart(policy: CompiledPolicy): boolean {
  for (let i = 0; i < policy.condition.length; i++) {
    if (policy.condition[i] !== IF_SOURCE) continue;
    const local = policy.conditionArg[i]! & LOCAL_SOURCES;
    if (local !== 0 && local !== LOCAL_SOURCES) return true;
  }
  return false;
}

// The explanation of one thing in one answer: why this path, why not the others, what the kernel has, who is told
// and who is not and why. Nothing is kept for it; the rib and the update groups are asked again.

import { formatIp, parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { explain } from '../policy/explain.ts';
import { newPolicyOutput } from '../policy/program.ts';
import { BEST, MULTIPATH, POLICY } from '../rib/reason.ts';
import type { Rib } from '../rib/rib.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { describeDown } from '../session/reason.ts';
import { familiesIn, IPV4, IPV6 } from '../wire/bgp/family.ts';
import { familyName, type LookAtBfd, peerView, silentObstacles } from './peer-views.ts';
import { reasonTexts, stepTexts } from './reason-texts.ts';
import {
  pathView,
  prefixIdOf,
  prefixTextOf,
  type RouteViewContext,
  reasonView,
  vrpsOf,
} from './route-views.ts';
import type {
  AdvertisedView,
  BfdView,
  KernelRouteView,
  ReasonView,
  RouteView,
  WhyPathView,
  WhyView,
} from './views.ts';
import { whyOther } from './why-other.ts';

export interface WhyContext extends RouteViewContext {
  bfd?: LookAtBfd;
  /** What the kernel has for a prefix, if this router forwards. */
  kernelRoute(family: number, prefixId: number): KernelRouteView | undefined;
}

/** Explains a prefix, an address, a peer or an interface; undefined when there is no such thing here. */
export function whyView(context: WhyContext, thing: string): WhyView | undefined {
  const peer = context.router.directory.byName.get(thing);
  if (peer !== undefined) return whyPeer(context, peer);
  const isPrefix = parsePrefix(thing) !== undefined;
  if (!isPrefix && parseIp(thing) === undefined)
    return whyNlri(context, thing) ?? whyOther(context.router, thing);
  for (const rib of context.router.ribs) {
    if (rib.form === 'opaque') continue;
    const id = prefixIdOf(rib, isPrefix ? { prefix: thing } : { for: thing });
    if (id >= 0) return whyPrefix(context, rib, id, thing, isPrefix ? 'prefix' : 'address');
  }
  return whyOther(context.router, thing);
}

/** A route whose NLRI is more than a prefix, by its text. */
function whyNlri(context: WhyContext, thing: string): WhyView | undefined {
  for (const rib of context.router.ribs) {
    const id = rib.form === 'opaque' ? prefixIdOf(rib, { prefix: thing }) : -1;
    if (id >= 0) return whyPrefix(context, rib, id, thing, 'prefix');
  }
  return undefined;
}

function whyPrefix(
  context: WhyContext,
  rib: Rib,
  id: number,
  thing: string,
  kind: 'prefix' | 'address',
): WhyView {
  const { router } = context;
  const paths: WhyPathView[] = rib.explain(id).map(({ path, reason }) => {
    const view = reasonView(reason);
    if (reason === POLICY) addPolicyRule(context, rib, path, view);
    const verdict =
      reason === BEST
        ? 'best'
        : reason === MULTIPATH
          ? 'multipath'
          : rib.paths.attrId[path] === 0
            ? 'rejected'
            : 'lost';
    return { route: pathView(context, rib, path, reason, false), verdict, reason: view };
  });
  const order = { best: 0, multipath: 1, lost: 2, rejected: 3 };
  paths.sort((a, b) => order[a.verdict] - order[b.verdict]);
  const winner = paths.find((one) => one.verdict === 'best')?.route;
  const prefix = prefixTextOf(rib, id);
  const kernel = context.kernelRoute(rib.family, id);
  const vrps = vrpsOf(context, rib, id);
  const advertised: AdvertisedView[] = [];
  const isDefault = prefix === '0.0.0.0/0' || prefix === '::/0';
  for (const peer of router.directory.byName.values()) {
    if (peer.established === undefined || (peer.families & (1 << rib.family)) === 0) continue;
    if (isDefault && router.advertiser.hasOwnDefault(peer, rib.family)) {
      const text = 'a default route of its own goes to it (defaultOriginate)';
      advertised.push({ peer: peer.name, sent: true, reason: { code: 'defaultOriginate', text } });
      continue;
    }
    const said = router.advertiser.explain(peer, rib, id);
    const code = said === 'noAdvertise' && isKeptHere(router, prefix) ? 'ownPolicy' : said;
    const key = code === 'policy' ? 'exportPolicy' : code;
    advertised.push({
      peer: peer.name,
      sent: code === 'sent',
      reason: { code, text: reasonTexts[key] ?? code },
    });
  }
  return {
    thing,
    kind,
    summary: summaryOf(prefix, paths),
    prefix,
    ...(winner && { winner }),
    paths,
    ...(kernel && { kernel }),
    ...(kernel === undefined && isOutranked(router, rib, id, winner) && { steps: [outranked] }),
    ...(vrps && { vrps }),
    advertised,
  };
}

/** A route of ours that its policy refuses carries no-advertise, which is not what the operator has said. */
function isKeptHere(router: Router, text: string): boolean {
  const prefix = parsePrefix(text);
  return prefix !== undefined && router.origination.isKeptHere(prefix);
}

const outranked: ReasonView = {
  code: 'outranked',
  text:
    'this machine has a route of its own for it, or for a neighbour within it, which is not replaced: ' +
    'packets go where that leads',
};

/** Whether leafd keeps its route out of the kernel for one that the operator or an address has put there. */
function isOutranked(router: Router, rib: Rib, id: number, winner: RouteView | undefined): boolean {
  if (router.fibSets === undefined || (winner?.source !== 'guest' && winner?.source !== 'bgp')) return false;
  return (rib.family === IPV4 || rib.family === IPV6) && router.machineRoutes.isOutranked(rib, id);
}

function summaryOf(prefix: string, paths: readonly WhyPathView[]): string {
  const best = paths.find((one) => one.verdict === 'best');
  if (best === undefined) return `${prefix}: none of ${paths.length} paths can be used`;
  const { peer, nextHop, interface: port, source, blackhole } = best.route;
  const by = peer === undefined ? `originated here (${source})` : `learned from ${peer}`;
  const to = blackhole === true ? ' into a black hole' : '';
  const via = nextHop === undefined ? to : ` via ${nextHop}${port === undefined ? '' : ` on ${port}`}`;
  const shared = paths.filter((one) => one.verdict === 'multipath').length;
  const load = shared === 0 ? '' : `, shared with ${shared} more`;
  // A path whose next hop cannot be reached never was in the running.
  const loser = paths.find((one) => one.verdict === 'lost' && one.reason.code !== 'nextHopUnreachable');
  const decided =
    loser === undefined ? '' : `; decided by ${stepTexts[loser.reason.code] ?? loser.reason.code}`;
  return `${prefix} is ${by}${via}${load}${decided}`;
}

/** Names the rule of the import policy that refused a path. */
function addPolicyRule(context: WhyContext, rib: Rib, path: number, reason: ReasonView): void {
  const { router } = context;
  const peer = router.directory.byIndex[rib.paths.peer[path]!];
  if (peer === undefined) return;
  const choice = router.filters.importChoice(peer, peer.negotiated?.internal === true);
  if (choice.policy === undefined) {
    reason.rule = choice.name;
    if (choice.rejectsAll) reason.text = 'an external peer without an import policy (RFC 8212)';
    return;
  }
  const attrId = rib.paths.attrIdIn[path]!;
  const input = router.filters.inputFor(
    rib,
    rib.paths.prefix[path]!,
    attrId,
    peer.index,
    rib.paths.receivedNextHop(path),
  );
  const explanation = explain(choice.policy, input, newPolicyOutput());
  reason.rule = explanation.text;
}

/** Whether BFD watches the path, and what it saw when it ended the session. */
function bfdStep(bfd: BfdView): ReasonView {
  const ended =
    bfd.lastDown === undefined ? '' : `; it ended the session at ${bfd.lastDown.at}: ${bfd.lastDown.reason}`;
  const lost = bfd.session === undefined ? '' : `, lost after ${bfd.session.detectionMs} ms of silence`;
  switch (bfd.state) {
    case 'waiting':
      return { code: 'bfdWaiting', text: `BFD watches the path once the session is Established${ended}` };
    case 'up':
      return { code: 'bfdUp', text: `BFD sees the path up${lost}${ended}` };
    default:
      return {
        code: 'bfdNotUp',
        text: `BFD has not seen the path up (${bfd.state}), so it holds nothing against the session${ended}`,
      };
  }
}

function whyPeer(context: WhyContext, peer: Peer): WhyView {
  const { router } = context;
  const view = peerView(router, peer, context.time, context.bfd);
  const steps: ReasonView[] = [];
  const link = peer.ifindex === 0 ? undefined : router.directory.links.get(peer.ifindex);
  if (peer.config.kind === 'interface') {
    steps.push(
      { code: 'interfaceMatches', text: `interface ${peer.name} matches ${peer.config.pattern}` },
      {
        code: link?.up === true ? 'linkUp' : 'linkDown',
        text: `the link is ${link?.up === true ? 'up' : 'down'}`,
      },
    );
    steps.push(
      peer.remote === undefined
        ? { code: 'noNeighbour', text: 'no router advertisement has been heard on it' }
        : { code: 'neighbour', text: `the neighbour is ${formatIp(peer.remote)}` },
    );
  }
  const { lastError } = peer.main.session;
  if (peer.established !== undefined) {
    const internal = peer.negotiated!.internal;
    steps.push(
      { code: 'established', text: `Established with AS ${peer.negotiated!.remoteAsn}` },
      { code: 'import', text: `import by ${router.filters.importChoice(peer, internal).name}` },
      { code: 'export', text: `export by ${router.filters.exportChoice(peer, internal).name}` },
    );
    const missing = familiesIn(peer.config.families & ~peer.negotiated!.families).map(familyName);
    if (missing.length > 0)
      steps.push({ code: 'notNegotiated', text: `the peer does not offer ${missing.join(', ')}` });
  } else if (lastError !== undefined)
    steps.push({ code: lastError.kind, text: view.reason ?? describeDown(lastError) });
  if (view.bfd !== undefined) steps.push(bfdStep(view.bfd));
  steps.push(...silentObstacles(peer));
  const state =
    peer.established === undefined ? `not Established: ${view.reason ?? view.state}` : 'Established';
  return {
    thing: peer.name,
    kind: 'peer',
    summary: `${peer.name} is ${state}`,
    paths: [],
    advertised: [],
    steps,
  };
}

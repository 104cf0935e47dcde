// Explanations of what an operator of passthrough names: an uplink, a speaker of the host, and why a neighbour in the
// fabric cannot be reached while the NIC that leads to it is not in the router namespace. Made from the view of the
// whole, for the router knows nothing of either.

import type {
  PassthroughSessionView,
  PassthroughUplinkView,
  PassthroughView,
  ReasonView,
  WhyView,
} from './views.ts';

/** `found`: what is known without passthrough. Undefined where nobody knows the thing. */
export function whyPassthrough(
  view: PassthroughView | undefined,
  thing: string,
  found: WhyView | undefined,
): WhyView | undefined {
  if (view === undefined) return found;
  const session = view.sessions.find(({ peer }) => peer === thing);
  if (session !== undefined) return found && withUplinks(view, session, found);
  const uplink = view.uplinks.find(({ name, parent }) => name === thing || parent === thing);
  if (uplink !== undefined) return whyUplink(view, uplink, thing);
  const ofSpeaker = view.sessions.filter(({ speaker }) => speaker === thing);
  return found ?? (ofSpeaker.length > 0 ? whySpeaker(view, ofSpeaker, thing) : undefined);
}

function answer(thing: string, summary: string, steps: ReasonView[]): WhyView {
  return { thing, kind: 'peer', summary, paths: [], advertised: [], steps };
}

/** A session that is down says what the uplinks have to do with it. */
function withUplinks(view: PassthroughView, session: PassthroughSessionView, found: WhyView): WhyView {
  if (session.side !== 'fabric' || session.state === 'established') return found;
  const away = view.uplinks.filter(({ place, up, carrier }) => place !== 'router' || !up || !carrier);
  const steps = away.map((uplink) => stateOfUplink(view, uplink));
  return { ...found, steps: [...(found.steps ?? []), ...steps, ...wayOut(view)] };
}

function whyUplink(view: PassthroughView, uplink: PassthroughUplinkView, thing: string): WhyView {
  const { mode, parent, name } = uplink;
  const what = mode === 'move' ? 'an uplink' : `the uplink ${name}, ${mode} of ${parent}`;
  const sessions = view.sessions.filter((one) => one.uplink === name);
  const steps = [stateOfUplink(view, uplink), ...sessions.map(sessionStep)];
  if (sessions.length === 0)
    steps.push({ code: 'noSession', text: 'no neighbour is on its networks, nor configured by its name' });
  return answer(thing, `${thing} is ${what} of the router in ${view.netns}`, [...steps, ...wayOut(view)]);
}

function whySpeaker(view: PassthroughView, sessions: PassthroughSessionView[], thing: string): WhyView {
  const up = sessions.filter(({ state }) => state === 'established').length;
  const summary = `${thing} is a speaker of this host, ${up} of ${sessions.length} sessions established`;
  const host = view.veth?.host;
  const steps = sessions.map(sessionStep);
  if (host !== undefined && !(host.present && host.up))
    steps.push({
      code: 'vethDown',
      text: `${host.name} is ${host.error ?? (host.present ? 'down' : 'absent')}`,
    });
  return answer(thing, summary, steps);
}

function sessionStep({ peer, state, reason, adminDown }: PassthroughSessionView): ReasonView {
  const word = adminDown ? 'shut down' : state === 'established' ? 'Established' : 'not Established';
  return { code: state, text: `${peer} is ${word}${reason === undefined ? '' : `: ${reason}`}` };
}

function stateOfUplink({ netns }: PassthroughView, uplink: PassthroughUplinkView): ReasonView {
  const { name, place, up, carrier, error } = uplink;
  if (place === 'absent')
    return { code: 'uplinkAbsent', text: `${name}: ${error ?? 'there is no such interface'}` };
  if (place === 'home')
    return {
      code: 'uplinkHome',
      text: `${name} is in the host, not in ${netns}${error === undefined ? '' : `: ${error}`}`,
    };
  if (!up || !carrier)
    return { code: 'linkDown', text: `${name} is in ${netns}, ${up ? 'without carrier' : 'down'}` };
  return { code: 'linkUp', text: `${name} is in ${netns} and up` };
}

/** What the operator can do now. */
function wayOut({ trial }: PassthroughView): ReasonView[] {
  if (trial.state !== 'rolledBack') return [];
  return [
    {
      code: 'retry',
      text: 'tried again by `leafctl passthrough retry`, by another configuration, and when leafd starts',
    },
  ];
}

// Explanations of what is not a route or a session of ours: a configured pattern or range, an interface that no peer
// is on, and a prefix or address that only the kernel knows, or nobody. An operator asks for these as often as for
// routes, and "there is none" would be no answer.

import { remoteAsText } from '../intent/diff-peers.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatPrefix, parsePrefix, prefixText } from '../net/prefix.ts';
import type { KernelRoute } from '../router/resolver.ts';
import type { Router } from '../router/router.ts';
import { peersOf, type WaitingConfig, waitingConfig } from './peer-views.ts';
import { interfaceName } from './route-views.ts';
import type { ReasonView, WhyView } from './views.ts';

/** Explains a pattern, a range, an interface, or a destination the kernel alone knows; undefined for all else. */
export function whyOther(router: Router, thing: string): WhyView | undefined {
  const config = waitingConfig(router, thing);
  if (config !== undefined) return whyWaiting(router, config, thing);
  if (router.directory.linkNamed(thing) !== undefined) return whyInterface(router, thing);
  const prefix = parsePrefix(thing);
  const route = prefix ? router.resolver.routesOf(prefix.bytes, prefix.length)[0] : routeTo(router, thing);
  return route && whyKernelRoute(router, thing, prefix === undefined ? 'address' : 'prefix', route);
}

function view(thing: string, kind: WhyView['kind'], summary: string, steps: ReasonView[]): WhyView {
  return { thing, kind, summary, paths: [], advertised: [], steps };
}

function whyWaiting(router: Router, config: WaitingConfig, thing: string): WhyView {
  const names = peersOf(router, config);
  const whoMayCome = `peers with remote AS ${remoteAsText(config.remoteAs)} may come`;
  const steps: ReasonView[] =
    config.kind === 'range'
      ? [
          {
            code: 'range',
            text: `${whoMayCome} from ${prefixText(config.range)}, at most ${config.limit}; leafd never connects`,
          },
          { code: 'peers', text: names.length === 0 ? 'nobody has come' : `there are ${names.join(', ')}` },
        ]
      : [
          { code: 'pattern', text: `${whoMayCome} over interfaces whose name matches ${config.pattern}` },
          {
            code: 'peers',
            text: names.length === 0 ? 'no interface matches' : `there are ${names.join(', ')}`,
          },
        ];
  if (config.shutdown) steps.push({ code: 'adminDown', text: 'shut down in the configuration' });
  const what = config.kind === 'range' ? 'a range' : 'a pattern';
  return view(
    thing,
    'peer',
    `${thing} is ${what} with ${names.length === 1 ? '1 peer' : `${names.length} peers`}`,
    steps,
  );
}

function whyInterface(router: Router, name: string): WhyView {
  const patterns = router.directory.configs.flatMap((one) => (one.kind === 'interface' ? [one.pattern] : []));
  const up = router.directory.linkNamed(name)!.up;
  const steps: ReasonView[] = [
    { code: up ? 'linkUp' : 'linkDown', text: `the link is ${up ? 'up' : 'down'}` },
    {
      code: 'noPattern',
      text:
        patterns.length === 0
          ? 'no peer is configured by interface'
          : `no interface of a peer matches it: ${patterns.join(', ')}`,
    },
  ];
  return view(name, 'peer', `${name} is an interface without a peer`, steps);
}

/** The best kernel route that covers an address; a default route too, for it is where packets go. */
function routeTo(router: Router, text: string): KernelRoute | undefined {
  const address = parseIp(text);
  if (address === undefined) return undefined;
  for (let length = address.length * 8; length >= 0; length--) {
    const masked = parsePrefix(`${formatIp(address)}/${length}`)!;
    const [route] = router.resolver.routesOf(masked.bytes, length);
    if (route !== undefined) return route;
  }
  return undefined;
}

function whyKernelRoute(
  router: Router,
  thing: string,
  kind: 'prefix' | 'address',
  route: KernelRoute,
): WhyView {
  const { bytes, length, source, ifindex, gateway } = route;
  const prefix = formatPrefix(bytes, 0, bytes.length as 4 | 16, length);
  const via = gateway === undefined ? '' : ` via ${formatIp(gateway)}`;
  const from = { connected: 'is connected', static: 'is a static route', kernel: 'is a route of the kernel' };
  const rule = router.config.redistribute[source];
  const steps: ReasonView[] = [
    { code: 'notOurs', text: 'leafd has no route for it; this one is not ours' },
    rule === undefined
      ? { code: 'notRedistributed', text: `it is not announced: redistribute.${source} is not configured` }
      : { code: 'redistributePolicy', text: `redistribute.${source} does not let it in (its policy)` },
  ];
  const summary = `${prefix} ${from[source]}${via} on ${interfaceName(router, ifindex)}, learned from no peer`;
  return { ...view(thing, kind, summary, steps), prefix };
}

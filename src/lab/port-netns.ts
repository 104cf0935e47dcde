// Where the port of a cable is: in its node's namespace, or in that of the node's router, whose leafd takes NICs there
// (`passthrough.uplinks`) and gives them back. Asked each time, because leafd moves them when it likes.

import { existsSync } from 'node:fs';
import { netnsPath } from '../netlink/netns.ts';
import { run } from './processes.ts';
import { type LabEnd, netnsOf, nodeNamed, type Topology } from './topology.ts';

/** The namespace a port is in; its node's also when there is no such port. */
export async function portNetns(topology: Topology, end: LabEnd): Promise<string> {
  const home = netnsOf(topology.name, end.node);
  const router = nodeNamed(topology, end.node)?.router?.netns;
  if (router === undefined || !existsSync(netnsPath(router))) return home;
  // A macvlan in the router's namespace may have the name of its parent, which is the port.
  const inHome = await hasPort(home, end.port);
  return inHome || !(await hasPort(router, end.port)) ? home : router;
}

async function hasPort(netns: string, port: string): Promise<boolean> {
  return (await run(['ip', '-n', netns, 'link', 'show', 'dev', port])).exitCode === 0;
}

// L3Passthrough of OpenPERouter, and what several of its kinds have in common: the session with a BGP speaker of the
// host, and the selector of nodes.

import {
  asn,
  type Complain,
  cidr,
  type Field,
  type Fields,
  listOf,
  mapOf,
  prefixOfCidr,
  text,
  word,
} from './openperouter-fields.ts';
import type {
  HostSession,
  LabelRule,
  LocalCidr,
  NodeSelector,
  PassthroughResource,
  ResourceHead,
} from './openperouter-model.ts';
import { onePerFamily } from './openperouter-underlay.ts';

const EXPRESSIONS_MAX = 256;

export function readPassthrough(spec: Fields, head: ResourceHead): PassthroughResource | undefined {
  const vrf = spec.take('vrf');
  if (vrf !== undefined)
    spec.complain(vrf.keyPlace, vrf.path, 'there is exactly one passthrough, of the default VRF');
  const hostSession = readHostSession(spec.need('hostSession'), spec.complain);
  return hostSession === undefined ? undefined : { ...head, kind: 'L3Passthrough', hostSession };
}

export function readHostSession(field: Field | undefined, complain: Complain): HostSession | undefined {
  const fields = field === undefined ? undefined : mapOf(field, complain);
  if (fields === undefined) return undefined;
  const own = asn(fields.need('asn'), complain);
  const remote = readHost(fields);
  const localCidr = readLocalCidr(fields);
  fields.finish();
  if (own === undefined || remote === undefined || localCidr === undefined) return undefined;
  return { place: fields.place, asn: own, remote, localCidr };
}

function readHost(fields: Fields): HostSession['remote'] | undefined {
  const given = fields.oneOf('hostASN', 'hostType');
  if (given?.key === 'hostASN') {
    const as = asn(given.field, fields.complain);
    return as === undefined ? undefined : { kind: 'asn', asn: as };
  }
  const type = word(given?.field, fields.complain, ['external', 'internal']);
  return type === undefined ? undefined : { kind: 'type', type };
}

/** `localCIDR: {ipv4, ipv6}`, or as its newest versions have it `localCIDRs: [...]`. */
function readLocalCidr(session: Fields): LocalCidr | undefined {
  const { complain } = session;
  const list = session.take('localCIDRs');
  const field = list === undefined ? session.need('localCIDR') : session.take('localCIDR');
  if (list !== undefined && field !== undefined) session.twice(list, field);
  if (list !== undefined) {
    const given = onePerFamily(listOf(list, complain, { least: 1, most: 2 }) ?? [], session);
    const ofSize = (size: number) => given.find((one) => prefixOfCidr(one).bytes.length === size);
    return localCidrOf(list, ofSize(4), ofSize(16));
  }
  const fields = field === undefined ? undefined : mapOf(field, complain);
  if (fields === undefined) return undefined;
  const four = fields.take('ipv4');
  const six = fields.take('ipv6');
  fields.finish();
  if (four === undefined && six === undefined)
    complain(fields.place, fields.path, 'needs ipv4, ipv6 or both');
  return localCidrOf(field!, cidr(four, complain, 'IPv4'), cidr(six, complain, 'IPv6'));
}

function localCidrOf(field: Field, ipv4: LocalCidr['ipv4'], ipv6: LocalCidr['ipv6']): LocalCidr | undefined {
  if (ipv4 === undefined && ipv6 === undefined) return undefined;
  return {
    place: field.node.place,
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
  };
}

/** The selector of nodes; undefined is every node. */
export function readNodeSelector(spec: Fields): NodeSelector | undefined {
  const field = spec.take('nodeSelector');
  const fields = field === undefined ? undefined : mapOf(field, spec.complain);
  if (fields === undefined) return undefined;
  const labels = fields.take('matchLabels');
  const expressions = fields.take('matchExpressions');
  fields.finish();
  const entries =
    expressions === undefined ? [] : (listOf(expressions, spec.complain, { most: EXPRESSIONS_MAX }) ?? []);
  const matchExpressions = entries.flatMap((entry) => readRule(entry, spec.complain) ?? []);
  return { matchLabels: readLabels(labels, spec.complain), matchExpressions };
}

function readLabels(field: Field | undefined, complain: Complain): Record<string, string> {
  const labels = Object.create(null) as Record<string, string>;
  if (field === undefined) return labels;
  if (field.node.kind !== 'map') {
    complain(field.node.place, field.path, 'must be a map of labels');
    return labels;
  }
  for (const [key, { keyPlace, value }] of field.node.entries) {
    const given = text({ path: `${field.path}.${key}`, keyPlace, node: value }, complain);
    if (given !== undefined) labels[key] = given.value;
  }
  return labels;
}

function readRule(entry: Field, complain: Complain): LabelRule | undefined {
  const fields = mapOf(entry, complain);
  if (fields === undefined) return undefined;
  const key = text(fields.need('key'), complain);
  const operator = word(fields.need('operator'), complain, ['In', 'NotIn', 'Exists', 'DoesNotExist']);
  const list = fields.take('values');
  fields.finish();
  const given = list === undefined ? [] : (listOf(list, complain, { most: EXPRESSIONS_MAX }) ?? []);
  const values = given.flatMap((one) => text(one, complain)?.value ?? []);
  if (key === undefined || operator === undefined) return undefined;
  const wants = operator.value === 'In' || operator.value === 'NotIn';
  const path = `${entry.path}.values`;
  if (wants && given.length === 0) complain(fields.place, path, `is required by ${operator.value}`);
  if (!wants && given.length > 0) complain(list!.keyPlace, path, `has no use with ${operator.value}`);
  return { key: key.value, operator: operator.value, values };
}

/** Whether a node with these labels is meant. */
export function selects(
  selector: NodeSelector | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (selector === undefined) return true;
  const labelOf = (key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const hasAll = Object.entries(selector.matchLabels).every(([key, value]) => labelOf(key) === value);
  return hasAll && selector.matchExpressions.every((rule) => holds(rule, labelOf(rule.key)));
}

function holds(rule: LabelRule, value: string | undefined): boolean {
  const isAmong = value !== undefined && rule.values.includes(value);
  if (rule.operator === 'In') return isAmong;
  if (rule.operator === 'NotIn') return !isAmong;
  return (value !== undefined) === (rule.operator === 'Exists');
}

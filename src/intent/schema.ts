// The shape of leafd.yaml as one zod schema, for validation and for the JSON Schema that editors read. Its types do
// not leave this room: everyone else works with intent.ts.

import * as z from 'zod';
import { identifier, section, text } from './scalars.ts';
import { apiSection, bgpSection, kernelSection, rpkiSection } from './schema-bgp.ts';
import { guestsSection } from './schema-guests.ts';
import { ONLY_ONE, passthroughSection } from './schema-passthrough.ts';
import { policiesSection } from './schema-policy.ts';
import type { Path } from './tree.ts';

const nodeSection = section({
  name: z
    .string()
    .refine((name) => /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/.test(name), 'must be a host name')
    .meta({ description: 'Default: the host name' })
    .optional(),
  labels: z
    .record(identifier, text)
    .meta({ description: 'For people and programs; leafd reads none' })
    .optional(),
});

export const configSchema = section({
  node: nodeSection.optional(),
  api: apiSection.optional(),
  bgp: bgpSection,
  policies: policiesSection.meta({ description: 'Policies by name, and the sets they refer to' }).optional(),
  rpki: rpkiSection.meta({ description: 'Route origin validation (RFC 6811)' }).optional(),
  guests: guestsSection.meta({ description: 'VMs and containers, each a host route of its own' }).optional(),
  passthrough: passthroughSection
    .meta({ description: 'A router namespace for the BGP speakers of this host' })
    .optional(),
  kernel: kernelSection.optional(),
});

export type Config = z.infer<typeof configSchema>;

/** Keys of the design that this version does not have, by the dotted path of the map they stand in (`*`: any step). */
const laterKeys: Readonly<Record<string, readonly string[]>> = {
  '': ['overlays', 'gateways', 'tunnels', 'policyRouting', 'vpn', 'vrfs'],
  bgp: ['vrfs'],
};

/** Whether a key is known to the design but not to this version. */
export function isLaterKey(parent: Path, key: string): boolean {
  return Object.entries(laterKeys).some(([pattern, keys]) => isAt(pattern, parent) && keys.includes(key));
}

function isAt(pattern: string, path: Path): boolean {
  const steps = pattern === '' ? [] : pattern.split('.');
  return steps.length === path.length && steps.every((step, i) => step === '*' || step === path[i]);
}

const whereSpeakersAre = {
  reason: 'is not a key of a speaker',
  hint: 'it is reached at its hostAddress, from the address of the router in localCIDR',
};

/** Keys that people may try, and why they are not there. */
const noKeys: Readonly<Record<string, Readonly<Record<string, { reason: string; hint?: string }>>>> = {
  passthrough: { vrf: { reason: ONLY_ONE }, vrfs: { reason: ONLY_ONE } },
  'passthrough.speakers.*': {
    address: whereSpeakersAre,
    interface: whereSpeakersAre,
    localAddress: whereSpeakersAre,
    range: whereSpeakersAre,
  },
};

/** What to say of a key that is not there on purpose. */
export function whyNoKey(parent: Path, key: string): { reason: string; hint?: string } | undefined {
  const keys = Object.entries(noKeys).find(([pattern]) => isAt(pattern, parent))?.[1];
  return keys !== undefined && Object.hasOwn(keys, key) ? keys[key] : undefined;
}

/** What to say of a list where there is only one. */
export function whyNoList(path: Path): string | undefined {
  return isAt('passthrough', path) ? ONLY_ONE : undefined;
}

/** The keys that a map at this path may have; empty where any name may stand. */
export function knownKeysAt(path: Path): string[] {
  let schemas: z.core.$ZodType[] = [configSchema];
  for (const step of path) schemas = schemas.flatMap(alternatives).flatMap((schema) => childOf(schema, step));
  return schemas.flatMap(alternatives).flatMap((schema) => Object.keys(shapeOf(schema) ?? {}));
}

type SchemaShape = Readonly<Record<string, z.core.$ZodType>>;
type Definition = {
  type: string;
  shape?: SchemaShape;
  catchall?: z.core.$ZodType;
  innerType?: z.core.$ZodType;
  options?: readonly z.core.$ZodType[];
  valueType?: z.core.$ZodType;
  element?: z.core.$ZodType;
};

const definitionOf = (schema: z.core.$ZodType): Definition => schema._zod.def as unknown as Definition;

function shapeOf(schema: z.core.$ZodType): SchemaShape | undefined {
  return definitionOf(schema).shape;
}

/** A schema without its optional wrapper; a union as its options. */
function alternatives(schema: z.core.$ZodType): z.core.$ZodType[] {
  const definition = definitionOf(schema);
  if (definition.innerType !== undefined) return alternatives(definition.innerType);
  return definition.type === 'union' ? (definition.options ?? []).flatMap(alternatives) : [schema];
}

function childOf(schema: z.core.$ZodType, step: string | number): z.core.$ZodType[] {
  const definition = definitionOf(schema);
  const child =
    (Object.hasOwn(definition.shape ?? {}, step) ? definition.shape![String(step)] : undefined) ??
    definition.catchall ??
    definition.valueType ??
    (typeof step === 'number' ? definition.element : undefined);
  return child === undefined ? [] : [child];
}

/** The JSON Schema (2020-12) of a configuration, for editors. */
export function jsonSchema(): unknown {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12', reused: 'ref' });
  // Resources of OpenPERouter may say what `bgp` would.
  const { required: _, ...rest } = schema;
  return { ...rest, anyOf: [{ required: ['bgp'] }, { required: ['passthrough'] }], title: 'leafd.yaml' };
}

// The shape of leafd.yaml as one zod schema, for validation and for the JSON Schema that editors read. Its types do
// not leave this room: everyone else works with intent.ts.

import * as z from 'zod';
import { identifier, section, text } from './scalars.ts';
import { apiSection, bgpSection, kernelSection, rpkiSection } from './schema-bgp.ts';
import { guestsSection } from './schema-guests.ts';
import { policiesSection } from './schema-policy.ts';

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
  kernel: kernelSection.optional(),
});

export type Config = z.infer<typeof configSchema>;

/** Keys of the design that this version does not have, by the dotted path of the map they stand in (`*`: any step). */
const laterKeys: Readonly<Record<string, readonly string[]>> = {
  '': ['overlays', 'gateways', 'tunnels', 'policyRouting', 'passthrough', 'vpn', 'vrfs'],
  bgp: ['vrfs'],
};

/** Whether a key is known to the design but not to this version. */
export function isLaterKey(parent: readonly (string | number)[], key: string): boolean {
  return Object.entries(laterKeys).some(([pattern, keys]) => {
    const steps = pattern === '' ? [] : pattern.split('.');
    const here =
      steps.length === parent.length && steps.every((step, i) => step === '*' || step === parent[i]);
    return here && keys.includes(key);
  });
}

/** The keys that a map at this path may have; empty where any name may stand. */
export function knownKeysAt(path: readonly (string | number)[]): string[] {
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
  return {
    ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12', reused: 'ref' }),
    title: 'leafd.yaml',
  };
}

// The shape of a policy as the operator writes it. It is intent's, which validates the YAML and lies below
// this room; here it has its name for those who use policies without caring where they were read from.

export {
  builtInPolicies,
  type CommunityChange,
  type MatchDefinition,
  type NumberMatch,
  type OriginName,
  type OriginState,
  type PolicyDefinition,
  type PolicyDefinitions,
  type PrefixItem,
  type PrefixRange,
  type RouteSource,
  type RuleAction,
  type RuleDefinition,
  type SetDefinition,
} from '../intent/policy-definition.ts';

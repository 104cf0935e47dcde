// All cases, in the order they are played; no two may have one name.

import type { Case } from '../case.ts';
import { absentCases } from './absent.ts';
import { behaviourCases } from './behaviour.ts';
import { dialogueCases } from './dialogue.ts';
import { familyCases } from './families.ts';
import { formCases } from './forms.ts';
import { multiprotocolCases } from './multiprotocol.ts';
import { roleCases } from './roles.ts';
import { sizeCases } from './sizes.ts';
import { streamCases } from './streams.ts';
import { structureCases } from './structure.ts';
import { valueCases } from './values.ts';

export function allCases(): Case[] {
  const cases = [
    ...formCases(),
    ...valueCases(),
    ...absentCases(),
    ...structureCases(),
    ...multiprotocolCases(),
    ...dialogueCases(),
    ...behaviourCases(),
    ...familyCases(),
    ...roleCases(),
    ...streamCases(),
    ...sizeCases(),
  ];
  const seen = new Set<string>();
  for (const { id } of cases) {
    if (seen.has(id)) throw new Error(`two cases are called ${id}`);
    seen.add(id);
  }
  return cases;
}

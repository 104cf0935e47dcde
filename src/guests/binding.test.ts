import { expect, test } from 'vitest';
import { LINK_REASONS, PORT_REASONS } from '../dataplane/guest-rules.ts';
import { refusals } from './binding.ts';

test('what the filter drops has a refusal, or nobody would be told of it', () => {
  expect(refusals).toEqual(expect.arrayContaining([...PORT_REASONS, ...LINK_REASONS]));
});

import { expect, test } from 'vitest';
import { announcePresence, refuseRunning } from './presence.ts';

test('a daemon is found by its name, by pid, until it ends', async () => {
  const name = `\0leafd-test-${process.pid}`;
  await refuseRunning(name);
  const presence = await announcePresence(name);
  await expect(refuseRunning(name)).rejects.toMatchObject({
    code: 'already-running',
    message: expect.stringContaining(`pid ${process.pid}`),
  });
  const second = await announcePresence(name);
  expect(second.listening, 'a name that is taken is no error').toBe(false);
  await new Promise((resolve) => presence.close(resolve));
  await refuseRunning(name);
});

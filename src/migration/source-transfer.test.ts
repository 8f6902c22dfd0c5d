import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { within } from '../../test/support/wait-until.ts';
import { GodwitError } from '../base/errors.ts';
import type { SourceParts } from './source-parts.ts';
import { SourceTransfer } from './source-transfer.ts';

const CLOSED = new GodwitError('GW_WIRE_CLOSED', { peer: 'b', reason: 'the other host closed it' });

/** Copying that fails; the codes that the handover hears of, as they come. */
function trial(error: GodwitError, link: { isConnected: boolean }) {
  const heard: string[] = [];
  const first = Promise.withResolvers<string>();
  const beforeCommit = new AbortController();
  const parts = {
    copying: { run: () => Promise.reject(error) },
    link,
    facts: { vm: { name: 'web1' } },
    beforeCommit,
    events: {
      post: ({ error: { code } }: { error: { code: string } }) => {
        heard.push(code);
        first.resolve(code);
      },
    },
  } as unknown as SourceParts;
  const startedMs = performance.now();
  new SourceTransfer(parts).startCopying();
  return { heard, beforeCommit, first: within('it is told', first.promise), ms: () => performance.now() - startedMs };
}

test('a destination that lets no connection in and then says why is not said to have closed it', async () => {
  const { heard, beforeCommit, first } = trial(CLOSED, { isConnected: true });
  await new Promise(setImmediate);
  beforeCommit.abort(new GodwitError('GW_QEMU_GONE', { vm: 'web1', reason: 'its process has ended' }));
  await new Promise(setImmediate);
  expect(heard).toEqual([]);
  await Promise.race([first, new Promise((resolve) => setTimeout(resolve, 50))]);
  expect(heard).toEqual([]);
});

largerTest('one that never says why is waited for, not for ever', async () => {
  const { first, ms } = trial(CLOSED, { isConnected: true });
  expect(await first).toBe('GW_WIRE_CLOSED');
  expect(ms()).toBeGreaterThan(1000);
});

test.each([
  ['a connection of which nothing is left', CLOSED, false],
  ['an error of this host', new GodwitError('GW_SYS_CALL', { call: 'read', errno: 'EIO' }), true],
])('%s is told at once', async (_, error, isConnected) => {
  const { first, ms } = trial(error, { isConnected });
  expect(await first).toBe(error.code);
  expect(ms()).toBeLessThan(1000);
});

import { expect, test } from 'vitest';
import { closeGroup } from './group-closing.ts';
import type { GroupMigration } from './group-migration.ts';

const NEVER = new Promise<never>(() => undefined);

function trial(state: { isSplit: boolean; hasEnded?: boolean; isHeldUp?: boolean }) {
  const [told, calls]: [string[], string[]] = [[], []];
  const view = { id: 'g1', group: 'bus', to: 'there', waitsFor: null, members: [] };
  const migration = {
    ...{ hasEnded: false, isHeldUp: false, view },
    ...state,
    // A thread that does not answer.
    cancel: () => NEVER,
    halt: () => calls.push('halt'),
  } as unknown as GroupMigration;
  const files = { flush: () => void calls.push('flush') };
  const log = { info: (_facts: object, text: string) => void told.push(text) } as never;
  return { told, calls, close: (ms: number) => closeGroup({ migration, files, finished: NEVER }, ms, log) };
}

test('a group whose cancel nobody answers is waited for no longer than is left, and is told as it is', async () => {
  const { close, told, calls } = trial({ isSplit: false });
  await close(200);
  expect(calls).toEqual(['halt', 'flush']);
  expect(told).toEqual([expect.stringContaining('has not been put back in time')]);
});

test('a divided one that moves by itself no more is left at once', async () => {
  const { close, told } = trial({ isSplit: true, isHeldUp: true });
  await close(60_000);
  expect(told).toEqual([expect.stringContaining('stays divided between two hosts')]);
});

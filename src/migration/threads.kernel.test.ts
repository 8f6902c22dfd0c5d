import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { MESSAGE_SAMPLES } from '../../test/support/wire-samples.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import type { DestinationFacts } from './destination-facts.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { journalPath } from './journal.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { startDestinationThread, startSourceThread } from './threads.ts';
import type { WorkerHandle } from './worker-handle.ts';

let directory: TempDirectory;
beforeEach(() => {
  directory = new TempDirectory();
});
afterEach(() => directory[Symbol.dispose]());

/** A journal that is there already, which no thread begins anew, and that tells nothing. */
function leaveDamaged(id: string, direction: 'outgoing' | 'incoming'): void {
  const path = journalPath(directory.path, id, direction);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '00000000 {}\n00000000 {}\n');
}

function outgoing(): WorkerHandle {
  leaveDamaged('out-1', 'outgoing');
  const input = {
    id: 'out-1',
    vm: sampleRecord(),
    to: '127.0.0.1:1',
    options: DEFAULT_MIGRATION_OPTIONS,
    hostName: 'a',
    stateDirectory: directory.path,
    startedAt: 1,
  };
  const facts = { ...input, destinationName: 'b', sessionKey: '', historyPath: '', linksPath: '' };
  const traffic = { budget: HostBudget.create(0).buffer, dscp: null, tls: null };
  const recovery = { facts, hasVm: true, records: [], settings: null };
  return startSourceThread({ ...input, contents: NO_CONTENTS, traffic, recovery });
}

function incoming(): WorkerHandle {
  const { offer } = MESSAGE_SAMPLES;
  leaveDamaged(offer.migrationId, 'incoming');
  const facts = { offer, peer: 'a', stateDirectory: directory.path, hostName: 'b', startedAt: 1 } as DestinationFacts;
  return startDestinationThread({ facts, fd: null, recovery: null });
}

test.each([
  ['outgoing', outgoing],
  ['incoming', incoming],
])('a thread of an %s migration that dies with its journal damaged leaves the VM undecided', async (_what, start) => {
  const handle = start();
  expect(await handle.vmSettled).toEqual({ kind: 'undecided', reason: expect.stringContaining('cannot be read') });
  expect(await handle.ended).toMatchObject({ outcome: 'failed', error: { code: 'GW_JOURNAL_CORRUPT' } });
  await handle.exited;
});

/** What is done to which QEMU, with parts that only write it down. */
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import { GodwitError } from '../base/errors.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { UpgradeJournal, type UpgradeRecord, upgradeJournalPath } from './upgrade-journal.ts';
import { type RecoveryParts, recoverUpgrade, type UpgradeRecovery } from './upgrade-recovery.ts';

const state = mkdtempSync(join(tmpdir(), 'godwit-recovery-'));
afterAll(() => rmSync(state, { recursive: true }));

const OLD = sampleRecord({ pid: 10, qmpPath: '/s/vms/web1/old/qmp.sock' });
const NEW = sampleRecord({ pid: 20, qmpPath: '/s/vms/web1/new/qmp.sock' });
const rollBack: UpgradeRecord[] = [
  { kind: 'begun', old: OLD, instance: 'new' },
  { kind: 'stopping', wasRunning: true },
];
const goOn: UpgradeRecord[] = [...rollBack, { kind: 'committed', vm: NEW, settings: null }];
const settled: UpgradeRecord[] = [...goOn, { kind: 'settled' }];

interface Recovered {
  readonly recovery: UpgradeRecovery;
  readonly done: readonly string[];
}

async function recover(records: readonly UpgradeRecord[], known: VmRecord, fails?: string): Promise<Recovered> {
  const path = upgradeJournalPath(state, 'web1');
  rmSync(path, { force: true });
  {
    using journal = UpgradeJournal.create(path);
    for (const record of records) journal.append(record);
  }
  return await recoverAgain(known, fails);
}

async function recoverAgain(known: VmRecord, fails?: string): Promise<Recovered> {
  const done: string[] = [];
  const end = async (what: string): Promise<boolean> => {
    done.push(what);
    return what !== fails;
  };
  const parts: RecoveryParts = {
    kill: ({ pid }) => end(`kill ${pid}`),
    removeInstance: (_, vm, instance) => end(`remove ${vm}/${instance}`),
    putInOrder: async ({ pid }, { wasRunning }) => {
      const what = `${wasRunning ? 'continue' : 'tend'} ${pid}`;
      if (!(await end(what))) throw new GodwitError('GW_QMP_BUSY', { path: 'qmp.sock', reason: 'another client' });
    },
  };
  const recovery = await recoverUpgrade({ stateDirectory: state, known, note: () => undefined }, parts);
  return { recovery, done };
}

test.each([
  ['before the commit', rollBack, OLD, 'stayed', ['remove web1/new', 'continue 10']],
  ['after it', goOn, OLD, 'replaced', ['kill 10', 'continue 20']],
  ['after the end, before the record', settled, OLD, 'replaced', ['kill 10']],
  ["after the record: it is its user's", goOn, NEW, 'stayed', ['kill 10']],
  ['when another VM has its name', rollBack, sampleRecord({ pid: 30 }), 'stayed', ['remove web1/new']],
  ['before anything', [], OLD, 'nothing', []],
] as const)('a daemon that died %s', async (_, records, known, kind, done) => {
  expect(await recover(records, known)).toMatchObject({ recovery: { kind }, done });
});

test('what was recovered is not resumed again, as long as its record cannot be saved', async () => {
  await recover(goOn, OLD);
  expect(await recoverAgain(OLD)).toMatchObject({ recovery: { kind: 'replaced', vm: NEW }, done: ['kill 10'] });
});

test.each([
  ['an old QEMU that does not end', goOn, 'kill 10', /old QEMU \(process 10\) does not end/],
  ['a new QEMU that does not end', rollBack, 'remove web1/new', /new QEMU does not end/],
  ['a new QEMU that cannot be told anything', goOn, 'continue 20', /brought to an end: .*another client/],
  ['an old QEMU that cannot be told anything', rollBack, 'continue 10', /brought to an end: .*another client/],
] as const)('%s leaves it unfinished, and nothing is done after that', async (_, records, fails, reason) => {
  const { recovery, done } = await recover(records, OLD, fails);
  expect(recovery).toEqual({ kind: 'unfinished', reason: expect.stringMatching(reason) });
  expect(done.at(-1)).toBe(fails);
});

test('a journal that cannot be read leaves both QEMUs as they are', async () => {
  await recover([], OLD);
  appendFileSync(upgradeJournalPath(state, 'web1'), 'damaged\nand more of it\n');
  const { recovery, done } = await recoverAgain(OLD);
  expect(recovery).toEqual({ kind: 'unfinished', reason: expect.stringContaining('which of two QEMUs') });
  expect(done).toEqual([]);
});

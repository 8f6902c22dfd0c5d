import { appendFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import {
  decideUpgrade,
  readUpgradeJournal,
  removeUpgradeJournal,
  UpgradeJournal,
  type UpgradeRecord,
  upgradeJournalPath,
} from './upgrade-journal.ts';

const state = mkdtempSync(join(tmpdir(), 'godwit-upgrade-'));
afterAll(() => rmSync(state, { recursive: true }));

const OLD = sampleRecord({ pid: 10, qmpPath: '/s/vms/web1/old/qmp.sock' });
const NEW = sampleRecord({ pid: 20, qmpPath: '/s/vms/web1/new/qmp.sock' });
const FOUND = { capabilities: [{ capability: 'events', state: false }], maxBandwidth: 1 };
const begun: UpgradeRecord = { kind: 'begun', old: OLD, instance: 'new' };
const borrowed: UpgradeRecord = { kind: 'borrowed', settings: FOUND };
const stopping: UpgradeRecord = { kind: 'stopping', wasRunning: true };
const paused: UpgradeRecord = { kind: 'stopping', wasRunning: false };
const committed: UpgradeRecord = { kind: 'committed', vm: NEW, settings: null };

const back = { kind: 'rollBack', old: OLD, instance: 'new' };
const onward = { kind: 'goOn', old: OLD, vm: NEW, settings: null };

test.each([
  ['nothing', [], { kind: 'nothing' }],
  ['a new QEMU, perhaps', [begun], { ...back, settings: null, resume: false }],
  ['changed settings', [begun, borrowed], { ...back, settings: FOUND, resume: false }],
  ['a VM that may stand still', [begun, borrowed, stopping], { ...back, settings: FOUND, resume: true }],
  ['one that its user has paused', [begun, borrowed, paused], { ...back, settings: FOUND, resume: false }],
  ['the commit', [begun, borrowed, stopping, committed], { ...onward, resume: true }],
  ['the commit of a paused VM', [begun, borrowed, paused, committed], { ...onward, resume: false }],
] as const)('after %s', (_, records, decision) => {
  expect(decideUpgrade(records)).toEqual(decision);
});

function write(vm: string, records: readonly UpgradeRecord[]): string {
  const path = upgradeJournalPath(state, vm);
  using journal = UpgradeJournal.create(path);
  for (const record of records) journal.append(record);
  return path;
}

test('a commit that was cut off while it was written is none', () => {
  const path = write('torn', [begun, borrowed, stopping]);
  appendFileSync(path, '00000000 {"side":"facts","upgrade":{"kind":"committed"');
  expect(decideUpgrade(readUpgradeJournal(path)!)).toMatchObject({ kind: 'rollBack', resume: true });
});

test('what was written is read again, and gone when it was removed', () => {
  const path = write('whole', [begun, borrowed, stopping, committed]);
  expect(readUpgradeJournal(path)).toEqual([begun, borrowed, stopping, committed]);
  removeUpgradeJournal(path);
  expect(existsSync(path)).toBe(false);
  expect(readUpgradeJournal(path)).toBeUndefined();
});

test('two at a time are refused', () => {
  const path = write('twice', [begun]);
  expect(() => UpgradeJournal.create(path)).toThrow('is there already');
  expect(readUpgradeJournal(path)).toEqual([begun]);
});

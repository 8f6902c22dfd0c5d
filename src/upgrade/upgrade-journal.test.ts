import { appendFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import {
  decideUpgrade,
  readUpgradeJournal,
  removeUpgradeJournal,
  settleUpgradeJournal,
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

const settled: UpgradeRecord = { kind: 'settled' };

const back = { kind: 'rollBack', old: OLD, instance: 'new' };
const onward = { kind: 'goOn', old: OLD, vm: NEW, settings: null, isSettled: false };

test.each([
  ['nothing', [], { kind: 'nothing' }],
  ['a new QEMU, perhaps', [begun], { ...back, settings: null, wasRunning: false }],
  ['changed settings', [begun, borrowed], { ...back, settings: FOUND, wasRunning: false }],
  ['a VM that may stand still', [begun, borrowed, stopping], { ...back, settings: FOUND, wasRunning: true }],
  ['one that its user has paused', [begun, borrowed, paused], { ...back, settings: FOUND, wasRunning: false }],
  ['the commit', [begun, borrowed, stopping, committed], { ...onward, wasRunning: true }],
  ['the commit of a paused VM', [begun, borrowed, paused, committed], { ...onward, wasRunning: false }],
  ['the end', [begun, borrowed, stopping, committed, settled], { ...onward, wasRunning: true, isSettled: true }],
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
  expect(decideUpgrade(readUpgradeJournal(path)!)).toMatchObject({ kind: 'rollBack', wasRunning: true });
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

test('all is settled when that was written; what cannot be is told', () => {
  const path = write('settled', [begun, borrowed, stopping, committed]);
  const notes: string[] = [];
  settleUpgradeJournal(join(state, 'elsewhere'), (text) => notes.push(text));
  expect(notes.join()).toContain('cannot be written');
  expect(decideUpgrade(readUpgradeJournal(path)!)).toMatchObject({ isSettled: false });
  settleUpgradeJournal(path, (text) => notes.push(text));
  expect(decideUpgrade(readUpgradeJournal(path)!)).toMatchObject({ kind: 'goOn', isSettled: true });
  expect(notes.length).toBe(1);
});

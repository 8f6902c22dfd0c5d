import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GodwitError } from '../base/errors.ts';
import type { SourceRecord } from '../migration/handover.ts';
import { Journal, type JournalLine, journalPath } from '../migration/journal.ts';
import { MigrationStore } from './migration-store.ts';

const ID = '7b0c6d1e-0000-4000-8000-000000000001';
const INPUT = {
  id: ID,
  vm: { name: 'web1', memoryBytes: 2 ** 29 },
  to: '10.0.0.2:7710',
  hostName: 'a',
  options: { mode: 'auto' },
} as const;
const ERROR = new GodwitError('GW_MIGRATION_CANCELLED').toBody();
const FACTS = { side: 'facts', destinationName: 'b' } as const;
const OFFERED = { side: 'source', kind: 'offered', migration: ID, vm: 'web1', epoch: 2, peer: INPUT.to } as const;
const COMMITTED = { side: 'source', kind: 'committed', epoch: 2 } as const;
const ended = (outcome: 'completed' | 'failed' | 'cancelled' | 'lost'): SourceRecord => ({
  side: 'source',
  kind: 'ended',
  outcome,
});
const rolledBack = { side: 'source', kind: 'rolledBack', cancelled: true, error: ERROR } as const;

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'godwit-store-'));
});
afterEach(() => rmSync(state, { recursive: true }));

/** What the next daemon reports of a migration that was begun and of which this is in the journal. */
function afterDeath(lines: readonly JournalLine[] | null) {
  new MigrationStore(state, 10).begin(INPUT);
  if (lines) {
    using journal = Journal.create(journalPath(state, ID, 'outgoing'));
    for (const line of lines) journal.append(line);
  }
  const next = new MigrationStore(state, 10);
  expect(next.load()).toEqual([]);
  return next.get(ID);
}

test.each<[string, JournalLine[] | null, object]>([
  ['no journal', null, { outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_INTERRUPTED' } }],
  ['no record', [FACTS], { outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_INTERRUPTED' } }],
  ['completed', [FACTS, OFFERED, COMMITTED, ended('completed')], { outcome: 'completed', owner: 'b', error: null }],
  ['cancelled', [FACTS, OFFERED, rolledBack, ended('cancelled')], { outcome: 'cancelled', owner: 'a', error: ERROR }],
  [
    'lost',
    [FACTS, OFFERED, COMMITTED, { side: 'source', kind: 'lost', error: ERROR }, ended('lost')],
    { outcome: 'failed', owner: 'b', error: ERROR },
  ],
])('a migration whose daemon died before it could report (%s)', (_, lines, report) => {
  expect(afterDeath(lines)).toMatchObject({ ...report, id: ID, interrupted: true });
});

test.each([
  ['completed', [FACTS, OFFERED, COMMITTED, ended('completed')], true],
  ['cancelled', [FACTS, OFFERED, rolledBack, ended('cancelled')], false],
] as const)('whether it has given the VM away is known by its journal (%s)', (_, lines, hasGiven) => {
  afterDeath(lines);
  const next = new MigrationStore(state, 10);
  next.load();
  expect(next.hasGiven(ID)).toBe(hasGiven);
  expect(next.hasGiven('another')).toBe(false);
});

test('a VM was given away also where the other host has the same name', () => {
  const completed = [{ side: 'facts', destinationName: 'a' }, OFFERED, COMMITTED, ended('completed')] as const;
  expect(afterDeath(completed)).toMatchObject({ from: 'a', owner: 'a' });
  const next = new MigrationStore(state, 10);
  next.load();
  expect(next.hasGiven(ID)).toBe(true);
});

test('is reported once: the time of a later restart changes nothing', () => {
  const first = afterDeath(null);
  expect(readdirSync(join(state, 'migrations', ID))).toEqual(['report.json']);
  const later = new MigrationStore(state, 10);
  later.load();
  expect(later.get(ID)).toEqual(first);
});

test('one that is open is left to who recovers it', () => {
  expect(afterDeath([FACTS, OFFERED])).toBeUndefined();
});

test('one that never began leaves nothing to report', () => {
  const store = new MigrationStore(state, 10);
  store.begin(INPUT);
  store.forget(ID);
  expect(readdirSync(join(state, 'migrations'))).toEqual([]);
  const next = new MigrationStore(state, 10);
  next.load();
  expect(next.list()).toEqual([]);
});

import { expect, test } from 'vitest';
import type { HostEventBody } from '../../src/api/event-schema.ts';
import type { MigrationView } from '../../src/api/migration-schema.ts';
import type { VmView } from '../../src/api/vm-schema.ts';
import { applyEvent, type HostState, NOTHING_KNOWN } from './host-state.ts';

const vm = (name: string, state = 'running'): VmView => ({ name, state }) as VmView;
const migration = (id: string, startedAtMs: number, state = 'running'): MigrationView =>
  ({ id, startedAtMs, state, vm: 'web1', notes: [], progress: null, phase: 'preparing' }) as unknown as MigrationView;
const after = (...events: HostEventBody[]): HostState =>
  events.reduce<HostState>((state, event) => applyEvent(state, { ...event, id: '', atMs: 1 })!, NOTHING_KNOWN);
const progressed = (migrationId: string): HostEventBody =>
  ({ kind: 'migrationProgressed', migrationId, vm: 'web1', progress: { phase: 'copying', round: 1 } }) as HostEventBody;

test('VMs stand in the order of their names, numbers as numbers, and one that changes keeps its place', () => {
  const { vms } = after(
    { kind: 'vmChanged', vm: vm('web10') },
    { kind: 'vmChanged', vm: vm('web2') },
    { kind: 'vmChanged', vm: vm('web10', 'paused') },
  );
  expect(vms.map(({ name, state }) => [name, state])).toEqual([
    ['web2', 'running'],
    ['web10', 'paused'],
  ]);
});

test('a VM that has been removed is gone', () => {
  const { vms } = after({ kind: 'vmChanged', vm: vm('web1') }, { kind: 'vmRemoved', name: 'web1', reason: '' });
  expect(vms).toEqual([]);
});

test('migrations stand newest first, and progress is kept as samples', () => {
  const state = after(
    { kind: 'migrationStarted', migration: migration('old', 1) },
    { kind: 'migrationStarted', migration: migration('new', 2) },
    progressed('old'),
    progressed('old'),
  );
  expect(state.migrations.map(({ id, phase }) => [id, phase])).toEqual([
    ['new', 'preparing'],
    ['old', 'copying'],
  ]);
  expect(state.samples.get('old')).toHaveLength(2);
});

test('a sample that comes after the end does not bring the migration back', () => {
  const { migrations } = after(
    { kind: 'migrationStarted', migration: migration('a', 1) },
    { kind: 'migrationEnded', migration: migration('a', 1, 'completed') },
    progressed('a'),
  );
  expect(migrations[0]).toMatchObject({ state: 'completed', progress: null });
});

test('events that were missed are made up for by loading everything', () => {
  expect(applyEvent(NOTHING_KNOWN, { kind: 'eventsMissed', reason: '', id: '', atMs: 1 })).toBeNull();
});

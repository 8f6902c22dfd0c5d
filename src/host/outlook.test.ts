import { expect, test } from 'vitest';
import type { MigrationView } from '../api/migration-schema.ts';
import { outgoingOf, roomOf, takenBytes } from './outlook.ts';
import type { Vm } from './vm.ts';

const MIB = 2 ** 20;

test('the room of a host is what the scarcer of memory and the file system of RAM files has', () => {
  expect(roomOf(1000 * MIB, 500 * MIB)).toBe(500 * MIB);
  // QEMU itself takes memory, too.
  expect(roomOf(1000 * MIB, 2000 * MIB)).toBe(936 * MIB);
  expect(roomOf(10 * MIB, 500 * MIB)).toBe(0);
});

test('where the kernel does not say how much memory there is, JSON can still tell the room', () => {
  expect(roomOf(Number.POSITIVE_INFINITY, 500 * MIB)).toBe(500 * MIB);
  expect(roomOf(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)).toBe(Number.MAX_SAFE_INTEGER);
});

test('a VM that cannot be read takes nothing, and spoils no view of the others', () => {
  const vm = { record: { pid: 1 } } as Pick<Vm, 'record'>;
  const denied = (): never => {
    throw new Error('EACCES');
  };
  expect(takenBytes(vm, denied)).toBe(0);
});

test.each([
  ['serving', 'connection', 'connection'],
  ['copying', null, null],
  // It has none yet.
  ['preparing', 'connection', null],
])('of a migration that is %s and waits for %s it is told that it waits for %s', (phase, waits, told) => {
  const progress = { phase, waitingFor: waits, bytesPerSecond: 5, ramBytes: 7, etaMs: null };
  const view = { id: 'm', vm: 'x', direction: 'outgoing', peer: 'b:7710', progress } as unknown as MigrationView;
  expect(outgoingOf([view])).toEqual([
    { id: 'm', vm: 'x', to: 'b:7710', etaMs: null, bytesPerSecond: 5, ramBytes: 7, waitingFor: told },
  ]);
});

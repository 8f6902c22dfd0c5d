import { expect, test } from 'vitest';
import type { MigrationView } from '../api/migration-schema.ts';
import { Outlook, type OutlookPort, outgoingOf, roomOf, takenBytes } from './outlook.ts';

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
  const denied = (): never => {
    throw new Error('EACCES');
  };
  expect(takenBytes(1, denied)).toBe(0);
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

test('what has arrived of a VM on its way is no less room: it is part of what the VM will take', () => {
  const port = {
    ...{
      hostName: 'b',
      stateDirectory: '/nowhere',
      vms: () => [],
      migrations: () => [],
      arrivingPids: () => [300, 20],
    },
    ...{ pressure: { view: () => undefined }, migrationAddress: () => 'b:7710', bandwidthBytesPerSecond: () => 0 },
  } as unknown as OutlookPort;
  const outlook = new Outlook(port, { freeBytes: () => 1000, takenBytes: (pid) => pid });
  expect(outlook.view({ isBrief: true }).memoryBytes).toBe(1320);
});

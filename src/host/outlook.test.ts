import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { MigrationView } from '../api/migration-schema.ts';
import { samplesPathIn } from '../migration/live-contents.ts';
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

test('a sample is told once to who says what he knows, and again when it is new; of another daemon nobody knows any', () => {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-outlook-'));
  using _removed = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const scan = (pid: number, text: string, atS: number): void => {
    const path = samplesPathIn(directory, { pid, startTicks: 1 });
    writeFileSync(path, JSON.stringify({ 4096: text }));
    utimesSync(path, atS, atS);
  };
  const vms = [1, 2, 3].map((pid) => ({
    record: { pid, startTicks: 1 },
    view: () => ({ name: `vm${pid}`, uuid: `u${pid}`, memoryBytes: 1, migration: null, sharedMemory: [] }),
  }));
  const port = {
    ...{ hostName: 'a', stateDirectory: '/nowhere', contentsDirectory: directory, looksThrough: true, vms: () => vms },
    ...{ migrations: () => [], arrivingPids: () => [], migrationAddress: () => 'a:7710' },
    ...{ bandwidthBytesPerSecond: () => 0, sampling: { historyOf: () => ({ samples: [] }) } },
    pressure: { view: () => undefined, cpusOf: () => null },
  } as unknown as OutlookPort;
  const open = (): Outlook => new Outlook(port, { freeBytes: () => 0, takenBytes: () => 0 });
  const ask = (outlook: Outlook, contentsAfter?: string) => {
    const { vms: told, contentsCursor } = outlook.view({ isBrief: false, contentsAfter });
    return {
      contents: told.map(({ contents }) => contents),
      versions: told.map(({ contentsVersion }) => contentsVersion),
      contentsCursor,
    };
  };
  scan(1, 'one', 1);
  scan(2, 'two', 1);
  const outlook = open();
  const first = ask(outlook);
  expect(first.contents).toEqual(['one', 'two', null]);
  expect(ask(outlook, first.contentsCursor)).toEqual({ ...first, contents: [null, null, null] });
  scan(2, 'two again', 2);
  scan(3, 'three', 2);
  const next = ask(outlook, first.contentsCursor);
  expect(next.contents).toEqual([null, 'two again', 'three']);
  expect(next.versions[0]).toBe(first.versions[0]);
  expect(next.versions[1]).not.toBe(first.versions[1]);
  // Whoever asks beside him gets all, and so does who knows what another daemon told, or nothing that makes sense.
  for (const after of [undefined, 'x', 'x.9', open().view({ isBrief: false }).contentsCursor]) {
    expect(ask(outlook, after).contents).toEqual(['one', 'two again', 'three']);
  }
  expect(outlook.view({ isBrief: true })).not.toHaveProperty('contentsCursor');
  // In pieces: at least one, and as many as there is room for.
  const pieces = (contentsLimit: number): string[] => {
    const told: string[] = [];
    let contentsAfter: string | undefined;
    for (let isLeft = true; isLeft; ) {
      const piece = outlook.view({ isBrief: false, contentsAfter, contentsLimit });
      told.push(piece.vms.flatMap(({ contents }) => contents ?? []).join(', '));
      contentsAfter = piece.contentsCursor;
      isLeft = piece.contentsLeft ?? false;
    }
    return told;
  };
  expect(pieces(1)).toEqual(['one', 'two again', 'three']);
  expect(pieces(12)).toEqual(['one, two again', 'three']);
  expect(pieces(17)).toEqual(['one, two again, three']);
});

import { fstatSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createRelayTable, freeEntriesOf, RelayEntry, RelayView } from './relay-table.ts';

/** Any descriptor has an inode. */
const FD = 0;
const inode = fstatSync(FD, { bigint: true }).ino;

test('an entry is found by its inode until it ends', () => {
  const table = createRelayTable();
  const entry = new RelayEntry(table, { inode, thread: 1, tcpFd: 7 });
  const view = new RelayView(table, FD);
  entry.hold(100);
  expect(view.read()).toEqual({ tcpFd: 7, heldBytes: 100 });
  entry.end();
  expect(view.read()).toBeUndefined();
});

test('entries of a dead thread are free, and those of others stay', () => {
  const table = createRelayTable();
  new RelayEntry(table, { inode: inode + 1n, thread: 1, tcpFd: 6 });
  new RelayEntry(table, { inode, thread: 2, tcpFd: 7 });
  const view = new RelayView(table, FD);
  freeEntriesOf(1, table);
  expect(view.read()).toEqual({ tcpFd: 7, heldBytes: 0 });
  freeEntriesOf(2, table);
  expect(view.read()).toBeUndefined();
});

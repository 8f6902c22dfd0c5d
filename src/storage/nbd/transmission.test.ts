/** What a client can make the server hold. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { BufferPool } from './buffer-pool.ts';
import { ClientCounters } from './client-counters.ts';
import { openDiskFile } from './disk-file.ts';
import { MAX_OPEN_BYTES, MAX_OPEN_REQUESTS, MAX_REQUEST_BYTES } from './limits.ts';
import { NBD_CMD_READ, NBD_CMD_WRITE, NBD_REQUEST_MAGIC } from './numbers.ts';
import { ServedDisk } from './served-disk.ts';
import { Transmission } from './transmission.ts';

const MIB = 2 ** 20;
const IMAGE_BYTES = 2 * MIB;

/** A client whose connection takes answers only when the test says so. */
function trial() {
  const directory = new TempDirectory();
  const path = directory.join('image');
  writeFileSync(path, Buffer.alloc(IMAGE_BYTES, 7));
  const pool = new BufferPool();
  const image = openDiskFile(path, { isReadOnly: false, isRaw: true });
  const disk = new ServedDisk({ image, isReadOnly: false, pool });
  const counters = new ClientCounters();
  const unsent: { bytes: number; sent(): void }[] = [];
  const state = { answers: 0, isPaused: false };
  const transmission = new Transmission({
    ...{ id: 1, generation: 1, disk, pool, counters, onEnd: () => undefined },
    facts: { name: '', bytes: IMAGE_BYTES, isReadOnly: false, minBlockBytes: 1 },
    agreement: { exportName: '', hasStructuredReplies: false, hasAllocation: false },
    channel: {
      peer: 'test',
      begin: () => undefined,
      send(pieces, sent = () => undefined) {
        state.answers++;
        unsent.push({ bytes: pieces.reduce((sum, piece) => sum + piece.length, 0), sent });
      },
      pause() {
        state.isPaused = true;
      },
      resume() {
        state.isPaused = false;
      },
      end: () => undefined,
      destroy: () => undefined,
    },
  });
  const send = (...requests: Buffer[]): void => {
    const bytes = Buffer.concat(requests);
    transmission.writable().set(bytes);
    transmission.received(bytes.length);
  };
  const settle = (): Promise<void> => disk.table.idle();
  const heldBytes = (): number => unsent.reduce((sum, { bytes }) => sum + bytes, 0);
  const close = (): void => {
    image[Symbol.dispose]();
    directory[Symbol.dispose]();
  };
  return { transmission, counters, send, settle, state, unsent, heldBytes, [Symbol.dispose]: close };
}

function request(command: number, bytes: number): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(NBD_REQUEST_MAGIC, 0);
  header.writeUInt16BE(command, 6);
  header.writeUInt32BE(bytes, 24);
  return header;
}

test('a few kilobytes that ask for a gigabyte make it hold no more than is allowed, and all are answered in the end', async () => {
  using client = trial();
  const count = 1000;
  client.send(...Array.from({ length: count }, () => request(NBD_CMD_READ, MIB)));
  for (let answered = 0; answered < count; ) {
    await client.settle();
    expect(client.heldBytes()).toBeLessThanOrEqual(MAX_OPEN_BYTES + MAX_REQUEST_BYTES);
    const [first] = client.unsent.splice(0, 1);
    answered++;
    if (answered < count - MAX_OPEN_BYTES / MIB) expect(client.state.isPaused).toBe(true);
    first!.sent();
  }
  expect(client.state).toMatchObject({ answers: count, isPaused: false });
});

test('nor are more requests looked at than it may have open', async () => {
  using client = trial();
  const count = MAX_OPEN_REQUESTS + 500;
  client.send(...Array.from({ length: count }, () => request(NBD_CMD_READ, 1)));
  await client.settle();
  expect(client.state).toMatchObject({ answers: MAX_OPEN_REQUESTS, isPaused: true });
  for (const { sent } of client.unsent.splice(0)) sent();
  await client.settle();
  expect(client.state).toMatchObject({ answers: count, isPaused: false });
});

test('what was not looked at when a client went is never begun', async () => {
  using client = trial();
  const writes = Array.from({ length: 5000 }, () => Buffer.concat([request(NBD_CMD_WRITE, 1), Buffer.of(1)]));
  client.send(...writes);
  await client.settle();
  expect(client.counters.counted.requests).toBe(MAX_OPEN_REQUESTS);
  client.transmission.closed();
  for (const { sent } of client.unsent.splice(0)) sent();
  await client.settle();
  expect(client.counters.counted.requests).toBe(MAX_OPEN_REQUESTS);
});

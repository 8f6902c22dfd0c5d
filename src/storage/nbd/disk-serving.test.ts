/** The server as its owner calls it, with a client that is ours. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NbdClient } from '../../../test/support/nbd-client.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { waitUntil } from '../../../test/support/wait-until.ts';
import { DiskServing } from './disk-serving.ts';
import type { ServerEvent } from './nbd-server.ts';

const KIB = 1024;
const MIB = KIB * KIB;

interface Desk extends AsyncDisposable {
  readonly serving: DiskServing;
  readonly image: string;
  readonly socket: string;
  readonly events: readonly ServerEvent[];
}

/** An image of 1 MiB: data from 256 to 512 KiB. */
async function openDesk(isReadOnly = false): Promise<Desk> {
  const directory = new TempDirectory();
  const [image, socket] = [directory.join('image'), directory.join('s')];
  writeFileSync(image, '');
  truncateSync(image, 256 * KIB);
  writeFileSync(image, Buffer.alloc(256 * KIB, 7), { flag: 'a' });
  truncateSync(image, MIB);
  const events: ServerEvent[] = [];
  const serving = new DiskServing(undefined, (event) => events.push(event));
  await serving.listen({ path: socket });
  await serving.openDisk('vda', { path: image, isReadOnly, isRaw: true, generation: 1 });
  await serving.addExport('old', 'vda', 1);
  await serving.addExport('new', 'vda', 2);
  const close = async (): Promise<void> => {
    await serving.close();
    directory[Symbol.dispose]();
  };
  return { serving, image, socket, events, [Symbol.asyncDispose]: close };
}

test('what is written is read, from another connection too', async () => {
  await using desk = await openDesk();
  using one = await NbdClient.open(desk.socket, 'old');
  using other = await NbdClient.open(desk.socket, 'old', { isStructured: false });
  const data = Buffer.alloc(300 * KIB, 3);
  expect((await one.write(100, data)).error).toBe(0);
  expect((await other.read(99, data.length + 2)).data).toEqual(
    Buffer.concat([Buffer.alloc(1), data, Buffer.alloc(1, 7)]),
  );
  expect((await one.ask(3, 0, 0)).error).toBe(0);
});

test('holes are told as holes, unless the client wants one piece', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  const whole = readFileSync(desk.image);
  const read = await client.read(0, MIB);
  expect(read).toMatchObject({ chunks: [2, 1, 2] });
  expect(read.data.equals(whole)).toBe(true);
  const fragment = await client.ask(0, 0, MIB, { flags: 4 });
  expect(fragment.chunks).toEqual([1]);
  expect(fragment.data.equals(whole)).toBe(true);
  expect((await client.ask(7, 0, MIB)).status).toEqual([256 * KIB, 3, 256 * KIB, 0, 512 * KIB, 3]);
  expect((await client.ask(7, 0, MIB, { flags: 8 })).status).toEqual([256 * KIB, 3]);
});

test('TRIM and zeroes read as zero, with FUA and without a hole as well', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  const ranges = [
    [4, 256, 0],
    [6, 272, 0],
    [6, 288, 3],
  ] as const;
  for (const [command, at, flags] of ranges) {
    expect((await client.ask(command, at * KIB, 8 * KIB, { flags })).error).toBe(0);
    expect((await client.read(at * KIB, 9 * KIB)).data).toEqual(
      Buffer.concat([Buffer.alloc(8 * KIB), Buffer.alloc(KIB, 7)]),
    );
  }
});

test('what cannot be done is an error, and the connection goes on', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  const errors = await Promise.all([
    client.read(MIB - 1, 2),
    client.write(MIB, Buffer.alloc(1)),
    client.ask(99, 0, 0),
    client.read(0, 2 ** 26),
    client.read(0, 1),
  ]);
  expect(errors.map(({ error }) => error)).toEqual([22, 28, 22, 22, 0]);
});

test('garbage behind the negotiation cuts the client off, with a reason', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  client.send(Buffer.alloc(28, 1));
  await client.closed();
  await waitUntil('it is told', () => desk.events.some(({ kind }) => kind === 'clientWent'));
  expect(desk.events.at(-1)).toMatchObject({ reason: expect.stringContaining('begins with 0101') });
});

test('a client that sends more than it may have open gets all its answers', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  await desk.serving.hold('vda', ['read']);
  const reads = Array.from({ length: 3000 }, (_, index) => client.read(index * 256, 256));
  await waitUntil('many are held', async () => (await desk.serving.requests('vda')).length >= 1024);
  await desk.serving.hold('vda', []);
  expect((await Promise.all(reads)).every(({ error }) => error === 0)).toBe(true);
});

test('who takes its leave gets its answers first', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  const [write, read] = [client.write(0, Buffer.alloc(64 * KIB, 1)), client.read(300 * KIB, 4096)];
  await client.leave();
  expect([(await write).error, (await read).data[0]]).toEqual([0, 7]);
});

test('a cancel answers what is held, the fence refuses the old and lets the new begin', async () => {
  await using desk = await openDesk();
  const { serving } = desk;
  using old = await NbdClient.open(desk.socket, 'old');
  using next = await NbdClient.open(desk.socket, 'new');
  await serving.trackWrites('vda');
  await serving.hold('vda', ['write', 'flush', 'trim']);
  const held = [old.write(0, Buffer.alloc(4096, 1)), old.ask(3, 0, 0), old.ask(4, 900 * KIB, 4096)];
  await waitUntil('all are held', async () => (await serving.requests('vda')).length === 3);
  expect(await serving.cancel('vda', 1)).toEqual({ answered: 2, kept: 1 });
  expect((await Promise.all(held)).map(({ error }) => error)).toEqual([5, 5, 0]);
  expect((await old.ask(3, 0, 0)).error).toBe(0);
  await serving.hold('vda', []);
  const early = next.write(0, Buffer.alloc(4096, 2));
  await waitUntil('it waits', async () => (await serving.requests('vda')).length === 1);
  await serving.fence('vda', 2);
  expect((await early).error).toBe(0);
  expect((await old.write(0, Buffer.alloc(4096, 3))).error).toBe(108);
  expect(readFileSync(desk.image)[0]).toBe(2);
  expect(await serving.collectDirty('vda')).toEqual({
    changing: 0,
    isAll: true,
    ranges: [
      { offset: 0, bytes: 64 * KIB },
      { offset: 896 * KIB, bytes: 64 * KIB },
    ],
  });
});

test('nothing of a client that has gone is left', async () => {
  await using desk = await openDesk();
  using client = await NbdClient.open(desk.socket, 'old');
  await desk.serving.hold('vda', ['read']);
  const read = expect(client.read(0, 1)).rejects.toThrow(/closed/);
  await waitUntil('it is held', async () => (await desk.serving.requests('vda')).length === 1);
  client[Symbol.dispose]();
  await read;
  await waitUntil('it is gone', async () => (await desk.serving.requests('vda')).length === 0);
});

test('a read-only disk cannot be changed', async () => {
  await using desk = await openDesk(true);
  using client = await NbdClient.open(desk.socket, 'old');
  expect((await client.write(0, Buffer.alloc(1))).error).toBe(1);
});

test('a disk that there is not is an error', async () => {
  await using desk = await openDesk();
  await expect(desk.serving.fence('vdb', 2)).rejects.toThrow(/no served disk named vdb/);
  await expect(desk.serving.addExport('old', 'vda', 3)).rejects.toThrow(/exported already/);
});

/** The block server with the clients that people use. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { requireCapability } from '../../../test/support/capability.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { waitUntil, within } from '../../../test/support/wait-until.ts';
import { openDiskFile } from './disk-file.ts';
import { NbdServer, type ServerEvent } from './nbd-server.ts';
import { NBD_CMD_READ, NBD_CMD_WRITE } from './numbers.ts';
import { ServedDisk } from './served-disk.ts';

const execute = promisify(execFile);
const MIB = 2 ** 20;
const TIMEOUT_MS = 30_000;

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute(program, [...args], { timeout: TIMEOUT_MS });
  return stdout;
}

class Bench implements AsyncDisposable {
  readonly directory = new TempDirectory();
  readonly path: string = this.directory.join('image');
  readonly socket: string = this.directory.join('s');
  readonly events: ServerEvent[] = [];
  readonly server = new NbdServer({ onEvent: (event) => this.events.push(event) });
  readonly disk: ServedDisk;

  private constructor(content: Buffer | number, isReadOnly: boolean) {
    if (typeof content === 'number') writeFileSync(this.path, '');
    else writeFileSync(this.path, content);
    if (typeof content === 'number') truncateSync(this.path, content);
    const image = openDiskFile(this.path, { isReadOnly, isRaw: true });
    this.disk = new ServedDisk({ image, isReadOnly, pool: this.server.pool });
    this.server.addExport('', { disk: this.disk, generation: 1 });
    this.server.addExport('next', { disk: this.disk, generation: 2 });
  }

  static async open(content: Buffer | number, isReadOnly = false): Promise<Bench> {
    const bench = new Bench(content, isReadOnly);
    await bench.server.listen({ path: bench.socket });
    return bench;
  }

  uri(name = ''): string {
    return `nbd+unix:///${name}?socket=${this.socket}`;
  }

  io(...commands: readonly string[]): Promise<string> {
    return run('qemu-io', '-f', 'raw', this.uri(), ...commands.flatMap((command) => ['-c', command]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within('the server closes', this.server.close());
    this.disk.image[Symbol.dispose]();
    this.directory[Symbol.dispose]();
  }
}

function pattern(bytes: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  for (let index = 0, x = 1; index < words.length; index++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    words[index] = x;
  }
  return Buffer.from(words.buffer);
}

requireCapability('kernel', 'nbdClients')('the block server', () => {
  test('tells nbdinfo what it can', async () => {
    await using bench = await Bench.open(3 * MIB);
    const { exports } = JSON.parse(await run('nbdinfo', '--json', bench.uri())) as { exports: object[] };
    expect(exports[0]).toMatchObject({
      ...{ 'export-size': 3 * MIB, is_read_only: false, can_flush: true, can_fua: true, can_multi_conn: true },
      ...{ can_trim: true, can_zero: true, can_fast_zero: true, can_df: true, contexts: ['base:allocation'] },
      ...{ block_size_minimum: 1, block_size_maximum: 32 * MIB },
    });
    expect(await run('nbdinfo', '--list', bench.uri())).toContain('export="next"');
  });

  test('nbdcopy brings a sparse image there and back, with its holes', async () => {
    await using bench = await Bench.open(64 * MIB);
    const original = Buffer.alloc(64 * MIB);
    original.set(pattern(5 * MIB), 3 * MIB);
    original.set(pattern(64 * 1024), 40 * MIB);
    const [from, back] = [bench.directory.join('from'), bench.directory.join('back')];
    writeFileSync(from, original);
    await run('nbdcopy', '--flush', from, bench.uri());
    expect(Buffer.compare(readFileSync(bench.path), original)).toBe(0);
    await run('nbdcopy', bench.uri(), back);
    expect(Buffer.compare(readFileSync(back), original)).toBe(0);
    const map = JSON.parse(await run('nbdinfo', '--map', '--json', bench.uri())) as { type: number; length: number }[];
    const data = map.filter(({ type }) => type === 0).reduce((sum, { length }) => sum + length, 0);
    expect(data).toBe(5 * MIB + 64 * 1024);
  });

  test('qemu-img converts to it and compares with it', async () => {
    await using bench = await Bench.open(16 * MIB);
    const from = bench.directory.join('from');
    writeFileSync(from, Buffer.concat([pattern(7 * MIB), Buffer.alloc(9 * MIB)]));
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', from, bench.uri());
    expect(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', from, bench.uri())).toContain('identical');
  });

  test('qemu-io writes, makes zeroes, discards and reads back what it must', async () => {
    await using bench = await Bench.open(16 * MIB);
    const out = await bench.io(
      ...[
        'write -P 5 1M 3M',
        'write -z -u 2M 64k',
        'write -z 2200k 4k',
        'discard 3M 128k',
        'write -f -P 7 9M 4k',
        'flush',
      ],
      ...['read -P 5 1M 1M', 'read -P 0 2M 64k', 'read -P 0 2200k 4k', 'read -P 0 3M 128k', 'read -P 7 9M 4k'],
      ...['read -P 5 3200k 1k', 'read -P 0 15M 1M'],
    );
    expect(out).not.toMatch(/fail|error/i);
    expect(bench.server.clients()).toEqual([]);
  });

  test('fio verifies what it has written at random from two connections', async () => {
    await using bench = await Bench.open(16 * MIB);
    const job = ['--name=verify', '--ioengine=nbd', `--uri=${bench.uri()}`, '--rw=randwrite', '--bs=4k', '--size=8M'];
    const two = ['--numjobs=2', '--offset_increment=8M', '--iodepth=32', '--verify=crc32c', '--do_verify=1'];
    await run('fio', ...job, ...two, '--verify_fatal=1', '--minimal');
  });

  test('a read-only export refuses to be changed', async () => {
    await using bench = await Bench.open(pattern(MIB), true);
    await expect(bench.io('write 0 4k')).rejects.toThrow(/Permission denied/);
    await expect(run('nbdcopy', bench.path, bench.uri())).rejects.toThrow(/read.?only/i);
    expect(Buffer.compare(readFileSync(bench.path), pattern(MIB))).toBe(0);
  });

  test('who is no NBD client is cut off with a reason, and others go on', async () => {
    await using bench = await Bench.open(MIB);
    const stranger = connect(bench.socket);
    stranger.resume().write('GET / HTTP/1.1\r\n\r\n');
    await within('the stranger is cut off', once(stranger, 'close'));
    expect(bench.events).toEqual([
      expect.objectContaining({ kind: 'strangerCutOff', reason: expect.stringContaining('no NBD client') }),
    ]);
    await run('nbdinfo', bench.uri());
  });

  test('held requests are seen, and end with EIO when they are cancelled; the image is as it was', async () => {
    await using bench = await Bench.open(pattern(MIB));
    bench.disk.table.hold(({ command }) => command === NBD_CMD_WRITE);
    const writing = bench.io('write -P 9 64k 4k');
    // It tells on stdout what became of a request.
    const failed = expect(writing).rejects.toMatchObject({ stdout: expect.stringContaining('Input/output error') });
    await waitUntil('the write is held', () => bench.disk.table.waitingCount === 1);
    expect(bench.server.requests(bench.disk)).toEqual([
      expect.objectContaining({ command: 'write', offset: 65536, bytes: 4096, state: 'waiting', isExpected: true }),
    ]);
    expect(bench.disk.table.cancel(1).answered).toBe(1);
    await failed;
    expect(Buffer.compare(readFileSync(bench.path), pattern(MIB))).toBe(0);
  });

  test('after the fence the old name writes nothing, and the next one does', async () => {
    await using bench = await Bench.open(MIB);
    const early = run('qemu-io', '-f', 'raw', bench.uri('next'), '-c', 'write -P 3 0 4k');
    await waitUntil('the early write waits', () => bench.disk.table.waitingCount === 1);
    await bench.io('write -P 2 0 4k');
    await bench.disk.table.fence(2);
    await early;
    await expect(bench.io('write -P 1 0 4k')).rejects.toThrow();
    expect(readFileSync(bench.path)[0]).toBe(3);
  });

  test('written blocks are collected once', async () => {
    await using bench = await Bench.open(4 * MIB);
    bench.disk.trackWrites();
    await bench.io('write 100k 4k', 'write -z 1M 64k', 'read 3M 64k');
    expect(bench.disk.collectDirty()).toEqual({
      isAll: true,
      ranges: [
        { offset: 64 * 1024, bytes: 64 * 1024 },
        { offset: MIB, bytes: 64 * 1024 },
      ],
      changing: 0,
    });
    expect(bench.disk.collectDirty()!.ranges).toEqual([]);
    bench.disk.stopTracking();
    expect(bench.disk.collectDirty()).toBeUndefined();
  });

  test('a client that goes while its reads are held leaves nothing behind', async () => {
    await using bench = await Bench.open(pattern(MIB));
    bench.disk.table.hold(({ command }) => command === NBD_CMD_READ);
    const killed = execFile('nbdcopy', [bench.uri(), 'null:']);
    await waitUntil('its reads are held', () => bench.disk.table.waitingCount > 0);
    killed.kill('SIGKILL');
    await waitUntil('it is gone', () => bench.server.clients().length === 0);
    expect(bench.server.requests(bench.disk)).toEqual([]);
  });
});

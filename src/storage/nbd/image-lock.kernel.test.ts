/** Images are locked for QEMU and for other block servers, and by them. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { requireCapability } from '../../../test/support/capability.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { openDiskFile } from './disk-file.ts';
import { explainRefusedLock } from './image-lock.ts';
import type { RawImage } from './raw-image.ts';

const execute = promisify(execFile);

interface Bench extends Disposable {
  readonly path: string;
  open(options?: { isReadOnly: boolean }): RawImage;
}

function openBench(): Bench {
  const stack = new DisposableStack();
  const directory = stack.use(new TempDirectory());
  const path = directory.join('image');
  writeFileSync(path, Buffer.alloc(65536));
  const open = ({ isReadOnly } = { isReadOnly: false }): RawImage =>
    stack.use(openDiskFile(path, { isReadOnly, isRaw: true }));
  return { path, open, [Symbol.dispose]: () => stack[Symbol.dispose]() };
}

/** Arguments of `qemu-img`, which reads it. */
function copy(path: string): string[] {
  return ['convert', '-f', 'raw', '-O', 'raw', path, `${path}.copy`];
}

test('of two that write the second one is refused until the first one gives up, or is closed', () => {
  using bench = openBench();
  const [one, two, three] = [bench.open(), bench.open(), bench.open()];
  expect(one.lock.take().kind).toBe('locked');
  expect(one.lock.take().kind).toBe('locked');
  expect(two.lock.take().kind).toBe('refused');
  // What was refused has locked nothing.
  one.lock.giveUp();
  expect(two.lock.take().kind).toBe('locked');
  expect(one.lock.take().kind).toBe('refused');
  // Another descriptor that is closed takes no lock away (as with locks of processes).
  one[Symbol.dispose]();
  expect(three.lock.take().kind).toBe('refused');
  two[Symbol.dispose]();
  expect(three.lock.take().kind).toBe('locked');
});

test('any number read together; nobody reads what another one writes', () => {
  using bench = openBench();
  const [one, two, writer] = [bench.open({ isReadOnly: true }), bench.open({ isReadOnly: true }), bench.open()];
  expect([one.lock.take().kind, two.lock.take().kind]).toEqual(['locked', 'locked']);
  expect(writer.lock.take().kind).toBe('refused');
  one.lock.giveUp();
  two.lock.giveUp();
  expect(writer.lock.take().kind).toBe('locked');
  expect(one.lock.take().kind).toBe('refused');
});

test('who has it is told', async () => {
  using bench = openBench();
  expect((await explainRefusedLock(bench.path)).message).toContain('somebody on another host');
  bench.open().lock.take();
  const { code, message } = await explainRefusedLock(bench.path);
  expect(code).toBe('GW_DISK_UNUSABLE');
  expect(message).toContain(`process ${process.pid} (`);
});

requireCapability('nbdClients')('QEMU', () => {
  test('is refused what is written here, and gets it afterwards', async () => {
    using bench = openBench();
    const image = bench.open();
    image.lock.take();
    const write = ['-f', 'raw', bench.path, '-c', 'write 0 512'];
    await expect(execute('qemu-io', write)).rejects.toThrow(/lock/);
    await expect(execute('qemu-img', copy(bench.path))).rejects.toThrow(/lock/);
    image.lock.giveUp();
    expect((await execute('qemu-io', write)).stdout).toContain('wrote 512');
  });

  test('keeps what it writes for itself', async () => {
    using bench = openBench();
    const image = bench.open();
    const child = spawn('qemu-io', ['-f', 'raw', bench.path]);
    try {
      child.stdin.write('write 0 512\n');
      await once(child.stdout, 'data');
      expect(image.lock.take().kind).toBe('refused');
      expect((await explainRefusedLock(bench.path)).message).toContain(`process ${child.pid} (qemu-io`);
    } finally {
      child.stdin.end('quit\n');
      await once(child, 'exit');
    }
    expect(image.lock.take().kind).toBe('locked');
  });

  test('reads what is read here', async () => {
    using bench = openBench();
    bench.open({ isReadOnly: true }).lock.take();
    await execute('qemu-img', copy(bench.path));
    await expect(execute('qemu-io', ['-f', 'raw', bench.path, '-c', 'write 0 512'])).rejects.toThrow(/lock/);
  });
});

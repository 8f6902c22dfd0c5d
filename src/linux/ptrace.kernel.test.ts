import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { BusyProcess } from '../../test/support/busy-process.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { CountingQemu } from '../../test/support/counting-qemu.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { letGoAbandoned } from './attachment.ts';
import { Errno } from './errno.ts';
import { withStoppedThread } from './ptrace.ts';
import { Userfaultfd } from './userfaultfd.ts';

const GETPID = 39;
const CLOSE = 3;
const PRCTL = 157;
const PR_GET_DUMPABLE = 3;
/** As glibc counts: queued, never merged. */
const SIGRTMIN = 34;

function statusField(pid: number, field: string): string {
  return new RegExp(`^${field}:\\t(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 3000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('The condition never came true');
    await pause(1);
  }
}

const FREEZER = '/sys/fs/cgroup/freezer';
/** Needs the freezer of cgroup v1. */
const canFreeze = existsSync(join(FREEZER, 'tasks'));

/** A control group with a process that can be frozen. */
class Freezer implements Disposable {
  readonly #path = join(FREEZER, `godwit-test-${process.pid}`);

  constructor(pid: number) {
    mkdirSync(this.#path);
    writeFileSync(join(this.#path, 'cgroup.procs'), String(pid));
  }

  set(state: 'FROZEN' | 'THAWED'): void {
    writeFileSync(join(this.#path, 'freezer.state'), state);
  }

  [Symbol.dispose](): void {
    this.set('THAWED');
    const pids = readFileSync(join(this.#path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    for (const pid of pids) writeFileSync(join(FREEZER, 'cgroup.procs'), pid);
    rmdirSync(this.#path);
  }
}

function openDescriptors(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`);
}

requireCapability('kernel', 'cc')('a process', () => {
  test('runs system calls and returns their results and errors', async () => {
    await using pig = await GuineaPig.start(1);
    const results = withStoppedThread(pig.pid, (thread) => [
      thread.systemCall(GETPID),
      thread.systemCall(PRCTL, PR_GET_DUMPABLE),
      thread.systemCall(CLOSE, 999),
    ]);
    expect(results).toEqual([BigInt(pig.pid), 1n, -BigInt(Errno.EBADF)]);
    expect(await pig.read(0)).toBe(0);
  });

  test('is let go, its signal mask restored, when the callback throws', async () => {
    await using pig = await GuineaPig.start(1);
    const mask = statusField(pig.pid, 'SigBlk');
    const failing = () =>
      withStoppedThread(pig.pid, () => {
        throw new RangeError('of the test');
      });
    expect(failing).toThrow(RangeError);
    expect(statusField(pig.pid, 'TracerPid')).toBe('0');
    expect(statusField(pig.pid, 'SigBlk')).toBe(mask);
    expect(await pig.read(0)).toBe(0);
  });

  test('that is stopped by SIGSTOP runs system calls and stays stopped', async () => {
    await using pig = await GuineaPig.start(1);
    process.kill(pig.pid, 'SIGSTOP');
    await until(() => statusField(pig.pid, 'State').startsWith('T'));
    expect(withStoppedThread(pig.pid, (thread) => thread.systemCall(GETPID))).toBe(BigInt(pig.pid));
    await until(() => statusField(pig.pid, 'State').startsWith('T'));
    process.kill(pig.pid, 'SIGCONT');
    expect(await pig.read(0)).toBe(0);
  });

  test('that is showered with signals handles each once', async () => {
    await using pig = await GuineaPig.start(1);
    for (let i = 0; i < 300; i++) {
      process.kill(pig.pid, SIGRTMIN);
      withStoppedThread(pig.pid, (thread) => {
        process.kill(pig.pid, SIGRTMIN);
        expect(thread.systemCall(GETPID)).toBe(BigInt(pig.pid));
        process.kill(pig.pid, SIGRTMIN);
        expect(thread.systemCall(GETPID)).toBe(BigInt(pig.pid));
      });
    }
    pig.send('s');
    expect(await pig.answer()).toBe('900');
  });

  test('that is no child of ours can be injected into from a worker thread', async () => {
    const started = execFileSync('sh', ['-c', 'setsid sleep 60 >/dev/null 2>&1 & echo $!'], { encoding: 'utf8' });
    const pid = Number(started);
    const source = `
      const { workerData, parentPort } = await import('node:worker_threads');
      const { withStoppedThread } = await import(workerData.module);
      let right = 0;
      for (let i = 0; i < 100; i++) {
        if (withStoppedThread(workerData.pid, (thread) => thread.systemCall(${GETPID})) === BigInt(workerData.pid)) right++;
      }
      parentPort.postMessage(right);
    `;
    const workerData = { pid, module: new URL('./ptrace.ts', import.meta.url).href };
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData });
    try {
      expect(await once(worker, 'message')).toEqual([100]);
      await until(() => statusField(pid, 'State').startsWith('S'));
    } finally {
      process.kill(pid, 'SIGKILL');
      await worker.terminate();
    }
  });

  test('that does not stop in time is let go as soon as it does, also by a thread that never comes back to its event loop', async () => {
    await using pig = await GuineaPig.start(1);
    pig.send('f 1500');
    expect(await pig.answer()).toBe('stuck');
    await until(() => statusField(pig.pid, 'State').startsWith('D'));
    const refused = expect.objectContaining({ code: 'GW_SYS_INJECT' });
    expect(() => withStoppedThread(pig.pid, () => 0)).toThrow(refused);
    expect(statusField(pig.pid, 'TracerPid')).not.toBe('0');
    // Nobody waits for what the thread that waits would have to do.
    const beforeMs = performance.now();
    expect(() => withStoppedThread(pig.pid, () => 0)).toThrow(refused);
    expect(performance.now() - beforeMs).toBeLessThan(100);
    const nap = new Int32Array(new SharedArrayBuffer(4));
    for (let ms = letGoAbandoned(); ms < Number.POSITIVE_INFINITY; ms = letGoAbandoned()) {
      expect(performance.now() - beforeMs).toBeLessThan(3000);
      Atomics.wait(nap, 0, 0, ms);
    }
    expect(statusField(pig.pid, 'TracerPid')).toBe('0');
    expect(await pig.answer()).toBe('ok');
  });

  test.skipIf(!canFreeze)(
    'that is frozen makes its call when it goes on, though nobody waits for it any more, and is unharmed',
    async () => {
      // No child of ours: of a child libuv takes a stop that comes while the event loop runs.
      using busy = await BusyProcess.start();
      using freezer = new Freezer(busy.pid);
      using uffd = Userfaultfd.openInside(busy.pid, { features: 0n, keepInside: true });
      const { insideFd } = uffd;
      const late = () =>
        withStoppedThread(busy.pid, (thread) => {
          freezer.set('FROZEN');
          return thread.systemCall(CLOSE, insideFd!);
        });
      expect(late).toThrow('did not stop within 1000 ms');
      expect(openDescriptors(busy.pid)).toContain(String(insideFd));
      freezer.set('THAWED');
      await until(() => letGoAbandoned() === Number.POSITIVE_INFINITY);
      expect((await busy.watch(busy.tids[0]!, 100)).ran).toBeGreaterThan(0);
      await until(() => !openDescriptors(busy.pid).includes(String(insideFd)));
      // It can be made to make others, and who comes late to what is done already does nothing.
      uffd.releaseInside();
      expect(withStoppedThread(busy.pid, (thread) => thread.systemCall(GETPID))).toBe(BigInt(busy.pid));
    },
  );

  test('traced by somebody else is refused, by the same thread at once', async () => {
    await using pig = await GuineaPig.start(1);
    const nested = () => withStoppedThread(pig.pid, () => withStoppedThread(pig.pid, () => 0));
    const beforeMs = performance.now();
    expect(nested).toThrow(expect.objectContaining({ code: 'GW_SYS_INJECT' }));
    expect(performance.now() - beforeMs).toBeLessThan(1000);
    expect(await pig.read(0)).toBe(0);
  });

  test('that has no vDSO is refused and runs on', async () => {
    await using pig = await GuineaPig.start(1);
    pig.send('v');
    expect(await pig.answer()).toBe('ok');
    const refused = expect.objectContaining({ code: 'GW_SYS_INJECT', message: expect.stringContaining('vDSO') });
    expect(() => withStoppedThread(pig.pid, () => 0)).toThrow(refused);
    expect(statusField(pig.pid, 'TracerPid')).toBe('0');
    expect(await pig.read(0)).toBe(0);
  });

  test('that has ended is said to be gone', async () => {
    const pig = await GuineaPig.start(1);
    await pig[Symbol.asyncDispose]();
    const gone = expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' });
    expect(() => withStoppedThread(pig.pid, () => 0)).toThrow(gone);
  });

  test('that is killed while it stands still is said to be gone', async () => {
    await using pig = await GuineaPig.start(1);
    const killed = () =>
      withStoppedThread(pig.pid, (thread) => {
        process.kill(pig.pid, 'SIGKILL');
        for (let i = 0; i < 1000; i++) thread.systemCall(GETPID);
      });
    expect(killed).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
  });
});

requireCapability('vm')('a running QEMU', () => {
  test('is waited for while another thread of ours has stopped it', async () => {
    await using vm = await startTinyVm();
    const module = new URL('../../test/support/busy-tracer.ts', import.meta.url);
    const workers = [1, 2].map(() => new Worker(module, { workerData: { pid: vm.pid, times: 100 } }));
    const ends = await Promise.all(
      workers.map((worker) => Promise.race([once(worker, 'message'), once(worker, 'error')])),
    );
    expect(ends).toEqual([['done'], ['done']]);
  });

  test.each([
    { sandbox: 'no sandbox', extra: [] },
    {
      sandbox: 'the sandbox of libvirt',
      extra: ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    },
  ])('is unharmed by 300 injections with $sandbox', async ({ extra }) => {
    await using qemu = await CountingQemu.start(16, ...extra);
    const fds = readdirSync(`/proc/${qemu.pid}/fd`).length;
    for (let i = 0; i < 300; i++)
      Userfaultfd.openInside(qemu.pid, { features: 0n, keepInside: false })[Symbol.dispose]();
    expect(await qemu.execute('query-status')).toMatchObject({ status: 'running' });
    const before = qemu.count();
    await until(() => qemu.count() !== before);
    expect(readdirSync(`/proc/${qemu.pid}/fd`).length).toBe(fds);
    expect(statusField(qemu.pid, 'TracerPid')).toBe('0');
  });
});

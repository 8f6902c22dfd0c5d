import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { CountingQemu } from '../../test/support/counting-qemu.ts';
import type { Moment } from '../../test/support/dying-tracer.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import { killInjectors, killThrottles } from '../../test/support/killed-injectors.ts';
import { Steady } from '../../test/support/steady.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { X64_SYSCALLS } from './abi/syscalls.ts';
import { Errno } from './errno.ts';
import { placeCode } from './injected-code.ts';
import { withStoppedThread } from './ptrace.ts';
import { readVdso } from './traced-process.ts';

const TRACER = fileURLToPath(new URL('../../test/support/dying-tracer.ts', import.meta.url));
const SIGRTMIN = 34;
/** Each death is that of a Node which has to start first: seconds on an idle machine. */
const DEATHS_TIMEOUT_MS = 120_000;
const EBADF = -BigInt(Errno.EBADF);
const inject = (pid: number) => withStoppedThread(pid, (thread) => thread.systemCall(X64_SYSCALLS.close, -1));

/** The bytes at the place of the code. */
function codeOf(pid: number): { read(): string; write(hex: string): void } {
  const place = placeCode(readVdso(pid)!);
  if (typeof place === 'string') throw new Error(place);
  const use = <T>(flags: string, action: (file: number) => T) => {
    const file = openSync(`/proc/${pid}/mem`, flags);
    try {
      return action(file);
    } finally {
      closeSync(file);
    }
  };
  const bytes = Buffer.alloc(place.words.byteLength);
  return {
    read: () => use('r', (file) => bytes.toString('hex', 0, readSync(file, bytes, 0, bytes.length, place.address))),
    write: (hex) =>
      use('r+', (file) => writeSync(file, Buffer.from(hex, 'hex'), 0, hex.length / 2, Number(place.address))),
  };
}

requireCapability('kernel', 'cc')('a process that is made to run system calls', () => {
  test('does not notice it, nor loses a signal', async () => {
    using steady = await Steady.start();
    for (let i = 0; i < 500; i++) {
      expect(inject(steady.pid)).toBe(EBADF);
      if (i % 10 === 0) await steady.goesOn();
    }
    for (let i = 0; i < 500; i++) {
      process.kill(steady.pid, SIGRTMIN);
      expect(inject(steady.pid)).toBe(EBADF);
      if (i % 10 === 0) await steady.goesOn();
    }
    await steady.goesOn();
    expect(steady.signals).toBe(500);
  });

  test('has its calls ended by signals that only they let through', async () => {
    using steady = await Steady.start();
    for (let i = 0; i < 500; i++) {
      withStoppedThread(steady.pid, (thread) => {
        process.kill(steady.pid, 'SIGUSR2');
        thread.systemCall(X64_SYSCALLS.close, -1);
      });
      if (i % 10 === 0) await steady.goesOn();
    }
    await steady.goesOn();
    expect(steady.letThrough).toBeGreaterThan(0);
  });

  test.each(
    withFurther<[Moment, signals: number]>(
      [
        ['has run ours', 0],
        ['is to be given a signal', 1],
      ],
      [
        ['is interrupted', 0],
        ['begins or ends a system call', 0],
      ],
    ),
  )(
    'does not notice that its tracer is killed as it %s',
    async (moment, signals) => {
      using steady = await Steady.start();
      for (const i of withFurther([1], [2, 3])) {
        expect(spawnSync(process.execPath, [TRACER, String(steady.pid), moment]).signal).toBe('SIGKILL');
        await steady.goesOn();
        expect(steady.signals).toBe(i * signals);
      }
    },
    DEATHS_TIMEOUT_MS,
  );

  test(
    'does not notice that they who make it are killed',
    async () => {
      using steady = await Steady.start();
      let sent = 0;
      await killInjectors(steady.pid, 12, async () => {
        process.kill(steady.pid, SIGRTMIN);
        sent++;
        await steady.goesOn();
      });
      await waitUntil('all signals have been handled', () => steady.signals === sent);
    },
    DEATHS_TIMEOUT_MS,
  );

  test(
    'does not notice that they who slow it are killed',
    async () => {
      using steady = await Steady.start();
      let sent = 0;
      await killThrottles(steady.pid, 8, async () => {
        process.kill(steady.pid, SIGRTMIN);
        sent++;
        await steady.goesOn();
      });
      await waitUntil('all signals have been handled', () => steady.signals === sent);
    },
    DEATHS_TIMEOUT_MS,
  );

  test('is made to by code of which a killed process has written a part', async () => {
    using steady = await Steady.start();
    inject(steady.pid);
    const code = codeOf(steady.pid);
    const whole = code.read();
    code.write(whole.slice(0, 16).padEnd(48, '0'));
    expect(inject(steady.pid)).toBe(EBADF);
    expect(code.read()).toBe(whole);
    await steady.goesOn();
  });

  test('is refused where somebody else has put something at the place of the code', async () => {
    using steady = await Steady.start();
    codeOf(steady.pid).write('cc'.repeat(8));
    const refused = expect.objectContaining({
      code: 'GW_SYS_INJECT',
      message: expect.stringContaining('somebody else'),
    });
    expect(() => inject(steady.pid)).toThrow(refused);
    await steady.goesOn();
  });
});

requireCapability('vm')('a running QEMU', () => {
  test(
    'is unharmed by processes that are killed while they make it run system calls',
    async () => {
      await using qemu = await CountingQemu.start(
        16,
        '-sandbox',
        'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
      );
      await killInjectors(qemu.pid, 8, async () => {
        expect(await qemu.execute('query-status')).toMatchObject({ status: 'running' });
        const before = qemu.count();
        await waitUntil('the guest counts', () => qemu.count() !== before);
      });
    },
    DEATHS_TIMEOUT_MS,
  );
});

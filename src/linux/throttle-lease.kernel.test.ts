import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BusyProcess } from '../../test/support/busy-process.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { furtherTest } from '../../test/support/further-cases.ts';
import { releaseStaleThrottle, type ThrottleMechanism } from './cpu-bandwidth.ts';

const CPU_ROOT = '/sys/fs/cgroup/cpu';
const OWNER = fileURLToPath(new URL('../../test/support/throttle-owner.ts', import.meta.url));
const NAME = 'leased';
let busy: BusyProcess;
let owner: ChildProcess;

async function startOwner(mechanism: ThrottleMechanism): Promise<void> {
  const words = [OWNER, String(busy.pid), String(busy.tids[0]), NAME, mechanism, '90'];
  owner = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(owner.stdout!, 'data');
}

function leftovers(): string[] {
  return existsSync(CPU_ROOT) ? readdirSync(CPU_ROOT).filter((entry) => entry.startsWith(`godwit@${NAME}@`)) : [];
}

/** Children of the owner: its watchdog, or its tracer. */
function childrenOfOwner(): number[] {
  const text = readFileSync(`/proc/${owner.pid}/task/${owner.pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** Within three seconds from now: 90 % slowed before, hardly slowed after, whatever else the machine does. */
async function expectFullSpeedSoon(): Promise<void> {
  await expect
    .poll(async () => (await busy.watch(busy.tids[0]!, 300)).allowed, { timeout: 3000, interval: 1 })
    .toBeGreaterThan(80);
  await expect.poll(leftovers, { timeout: 1000 }).toEqual([]);
}

requireCapability('kernel', 'cgroupV1')('the lease', () => {
  beforeEach(async () => {
    busy = await BusyProcess.start();
  });

  afterEach(() => {
    owner.kill('SIGKILL');
    busy[Symbol.dispose]();
  });

  describe.each(['cgroup-v1', 'ptrace'] as const)('of %s', (mechanism) => {
    beforeEach(async () => {
      await startOwner(mechanism);
      await expect
        .poll(async () => (await busy.watch(busy.tids[0]!, 300)).ran, { timeout: 5000, interval: 1 })
        .toBeLessThan(25);
    });

    test('holds for longer than a lease while the owner lives', async () => {
      await busy.watch(busy.tids[0]!, 2500);
      expect((await busy.watch(busy.tids[0]!, 500)).ran).toBeLessThan(25);
    });

    test('ends when the owner is killed', async () => {
      owner.kill('SIGKILL');
      await expectFullSpeedSoon();
    });

    furtherTest('ends when the owner ends by SIGTERM', async () => {
      owner.kill('SIGTERM');
      await expectFullSpeedSoon();
    });

    test('ends when the owner is stopped', async () => {
      owner.kill('SIGSTOP');
      await expectFullSpeedSoon();
    });

    test("ends when the owner's event loop hangs", async () => {
      owner.stdin!.write('hang\n');
      await expectFullSpeedSoon();
    });

    furtherTest('ends when the helper of the owner is killed', async () => {
      for (const pid of childrenOfOwner()) process.kill(pid, 'SIGKILL');
      await expectFullSpeedSoon();
    });
  });

  test('releaseStaleThrottle cleans up when owner and watchdog were killed together', async () => {
    await startOwner('cgroup-v1');
    const [watchdog] = childrenOfOwner();
    owner.kill('SIGSTOP');
    process.kill(watchdog!, 'SIGKILL');
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(leftovers()).toHaveLength(1);
    const [directory] = leftovers();
    expect(readdirSync(join(CPU_ROOT, directory!))).toContain(`vcpu-${busy.tids[0]}`);
    releaseStaleThrottle('another');
    expect(leftovers()).toHaveLength(1);
    releaseStaleThrottle(NAME);
    await expectFullSpeedSoon();
    expect(busy.cpuGroup(busy.tids[0]!)).toBe(busy.cpuGroup(busy.pid));
  });
});

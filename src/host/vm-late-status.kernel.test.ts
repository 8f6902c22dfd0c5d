import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import type { QuietQmp } from '../../test/support/quiet-qmp.ts';
import { startTrialDaemon } from '../../test/support/trial-daemon.ts';
import { identifyProcess } from '../linux/process.ts';

test('a VM whose QEMU is late to say how it is, is asked again, and its guest to power down all the same', async () => {
  using stack = new DisposableStack();
  const qemu = spawn('sleep', ['60'], { stdio: 'ignore' });
  stack.defer(() => qemu.kill('SIGKILL'));
  await using trial = await startTrialDaemon({
    identity: identifyProcess(qemu.pid!)!,
    prepareQmp: (qmp: QuietQmp) => {
      qmp.tellsStatus = false;
    },
  });
  const { client, qmp } = trial;
  expect(await client.showVm('web1')).toMatchObject({ state: 'unknown' });
  await client.stopVm('web1', { timeoutMs: 100 }).catch(() => undefined);
  expect(qmp.commands.filter((command) => command !== 'query-status')).toEqual([
    'qmp_capabilities',
    'system_powerdown',
    'quit',
  ]);
}, 30_000);

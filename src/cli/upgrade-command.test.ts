import { expect, test } from 'vitest';
import type { UpgradeReportView } from '../api/upgrade-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { cancelUntil, renderUpgrade } from './upgrade-command.ts';

const REPORT: UpgradeReportView = {
  vm: 'web1',
  state: 'running',
  wasRunning: true,
  pid: 7,
  from: { binary: '/usr/bin/qemu', version: '7.2.0' },
  to: { binary: '/opt/qemu', version: '10.0.2' },
  downtimeMs: 13.61,
  saveMs: 5,
  loadMs: 2,
  commitMs: 1,
  resumeMs: 1,
  totalMs: 1300,
  stateBytes: 160_000,
  memoryCopiedBytes: 0,
  notes: [],
};

test.each([
  ['ran', {}, 'running', '13.6 ms (save 5.0 ms'],
  ['was paused', { wasRunning: false, state: 'paused', downtimeMs: null }, 'paused', 'none: it did not run before'],
  ['ran, and nobody measured', { downtimeMs: null }, 'running', 'not known'],
  ['ran, and does not now', { state: 'paused', downtimeMs: null }, 'paused', 'it ran before, and is paused now'],
] as const)('a VM that %s', (_, changes, state, downtime) => {
  const text = renderUpgrade({ ...REPORT, ...changes });
  expect(text).toContain(`VM web1 is in QEMU 10.0.2 now (pid 7), ${state}.`);
  expect(text).toContain(`  downtime  ${downtime}`);
});

test('an interrupt that the daemon gets before the upgrade is told again', async () => {
  const over = new AbortController();
  let tries = 0;
  await cancelUntil(over.signal, async () => {
    if (++tries < 3) throw new GodwitError('GW_NOT_FOUND', { kind: 'upgrade of a VM', name: 'web1' });
  });
  expect(tries).toBe(3);
});

test('an interrupt of an upgrade that has ended is none', async () => {
  const over = new AbortController();
  await cancelUntil(over.signal, async () => {
    over.abort();
    throw new GodwitError('GW_NOT_FOUND', { kind: 'upgrade of a VM', name: 'web1' });
  });
  expect(over.signal.aborted).toBe(true);
});

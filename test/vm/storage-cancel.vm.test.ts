/** Requests that slow storage holds are cancelled at the source and sent again at the destination, instead of waited for (M3). */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { requireCapability, TEST_QEMU } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { beginMigration, completedReport, HostPair, isFree, type ReachedHost } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { createLedgerVm, findDiskServer, ledgerGrows, openDiskControl } from '../support/ledger-vm.ts';
import { qemuVersions } from '../support/other-qemu.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const THREADS = 8;
/** The guest makes one request of neighbours'. */
const FEWEST_HELD = THREADS / 2;
/** What the storage holds requests for. */
const SLOW_MS = 3000;
const MAX_STOP_MS = 60;

let pair: HostPair;
/** A test that is tried again has another one. */
let vms = 0;

beforeAll(async () => {
  // The way back is as it is everywhere else.
  pair = await HostPair.open({}, { env: { GODWIT_FAULT: 'noDiskCancel' } });
});

afterAll(() => pair[Symbol.asyncDispose]());

/** Moves the VM while its storage holds everything for so long after the VM was stopped; for ever when it is not said. */
async function moveWhileHeld(from: ReachedHost, to: ReachedHost, vm: string, slowMs?: number): Promise<ReportView> {
  using control = await openDiskControl(from, vm);
  using server = await findDiskServer(from, vm);
  // A flush is one at a time for all writers of a guest: it would keep them from asking for more.
  await control.call('hold', { commands: ['read', 'write'] });
  await waitUntil('writers wait', async () => (await server.status()).disks[0]!.waiting >= FEWEST_HELD);
  const migration = await beginMigration(from, vm, { to: to.host.migration });
  if (slowMs !== undefined) {
    await migration.reaches('stopping');
    await delay(slowMs);
    await control.call('hold', { commands: [] });
  }
  const report = completedReport(await migration.ended);
  await isFree(to, vm);
  return report;
}

interface Machine {
  readonly qemu: string;
  readonly bus: 'virtio-blk' | 'virtio-scsi';
  readonly iothread: boolean;
}
const USUAL: Machine = { qemu: TEST_QEMU, bus: 'virtio-blk', iothread: false };
const ALL = qemuVersions().flatMap((qemu) =>
  (['virtio-blk', 'virtio-scsi'] as const).flatMap((bus) =>
    [false, true].map((iothread): Machine => ({ qemu, bus, iothread })),
  ),
);

requireCapability('vm')('requests under way', () => {
  describe.each(withFurther([USUAL], ALL.slice(1)))('on $qemu, $bus, iothread $iothread', (machine) => {
    const { bus } = machine;
    test('are cancelled and sent again; waiting for them takes as long as the storage does', async () => {
      const vm = `held-${++vms}`;
      const image = pair.a.host.directory.join(`${vm}.img`);
      await createLedgerVm(pair.a, { name: vm, image, threads: THREADS, ...machine });
      const cancelled = await moveWhileHeld(pair.a, pair.b, vm);
      await ledgerGrows(pair.b, vm);
      const drained = await moveWhileHeld(pair.b, pair.a, vm, SLOW_MS);
      await ledgerGrows(pair.a, vm);
      const numbers = [cancelled, drained].map(({ downtimeMs, downtimeParts, totalMs, diskRequests }) => {
        return { downtimeMs, stopMs: downtimeParts!.stop, totalMs, cancelled: diskRequests[0]!.cancelled };
      });
      process.stdout.write(`${JSON.stringify({ ...machine, cancelled: numbers[0], waitedFor: numbers[1] })}\n`);
      expect(cancelled.diskRequests).toMatchObject([{ drained: null }]);
      expect(cancelled.diskRequests[0]!.cancelled).toBeGreaterThanOrEqual(FEWEST_HELD);
      // What the machine is busy with otherwise adds to the rest of the downtime, not to the waiting for requests.
      expect(cancelled.downtimeParts!.stop).toBeLessThanOrEqual(MAX_STOP_MS);
      expect(cancelled.downtimeMs).toBeLessThan(SLOW_MS / 4);
      expect(drained.diskRequests).toMatchObject([{ cancelled: 0 }]);
      // With virtio-scsi QEMU waits before it says STOP, from which the downtime is counted.
      expect(drained.totalMs).toBeGreaterThanOrEqual(SLOW_MS);
      if (bus === 'virtio-blk') expect(drained.downtimeMs).toBeGreaterThanOrEqual(SLOW_MS - MAX_STOP_MS);
      await pair.a.client.actOnVm(vm, 'kill');
    });
  });
});

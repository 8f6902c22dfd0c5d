/** Daemons that hang in the middle of a migration: they are given up only after what any answer may take. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { identifyProcess, signalProcess } from '../../src/linux/process.ts';
import { requireCapability } from '../support/capability.ts';
import {
  beginMigration,
  createTinyVm,
  endAt,
  HostPair,
  openTinyGuest,
  type ReachedHost,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type Lie, LyingLink } from '../support/lying-link.ts';
import { type QemuSettings, readSettings } from '../support/qemu-settings.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { listMarks, measureWork, nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'survivor';
const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
const FULL_LINK = { bytesPerSecond: undefined, delayMs: 0 };
/** Long enough to do something while a message is on its way. */
const LATE_LINK = { delayMs: 400 };
const WORK_SAMPLE_MS = 400;
/** Five seconds, and what it takes to see it and to go back. */
const STANDSTILL_MS = 12_000;

let pair: HostPair;
/** Of the VM that no migration has touched. */
let settings: QemuSettings;

async function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  return await beginMigration(pair.a, VM, { to: pair.link.address, ...request });
}

async function change(at: ReachedHost, pace: typeof CALM | typeof BUSY): Promise<void> {
  using guest = await openTinyGuest(at, VM);
  guest.change(pace);
}

async function isIntactAt(at: ReachedHost): Promise<void> {
  await runsIntact(pair, VM, at);
  expect(await readSettings(at, VM)).toEqual(settings);
}

requireCapability('vm')('recovery', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...BUSY, fill: FILL } });
    settings = await readSettings(pair.a, VM);
  });
  beforeEach(async () => {
    pair.link.shape(FULL_LINK);
    // What a failed test has left.
    for (const { host } of [pair.a, pair.b]) if (!host.isRunning) await host.start();
    await pair.bring(VM, pair.a);
    await change(pair.a, CALM);
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  });

  test('destination daemon that hangs in copying: the VM is not slowed for it, and stays', async () => {
    await change(pair.a, BUSY);
    using guest = await openTinyGuest(pair.a, VM);
    const { pid } = await pair.a.client.showVm(VM);
    // However slowly this machine runs the guest: one that is not slowed further does not converge.
    const migration = await begin({
      mode: 'pre-copy',
      bandwidthBytesPerSecond: 8 * MIB,
      throttle: { maxPercent: 60 },
      without: [...PACKING_STEPS],
    });
    await migration.progresses('slowed', ({ throttlePercent }) => throttlePercent > 50);
    const hung = identifyProcess(pair.b.host.pid)!;
    signalProcess(hung, 'SIGSTOP');
    try {
      await waitUntil('the VM is at full speed', () => listMarks(pid!).length === 0);
      const { report } = await endAt(pair.a, migration.id);
      expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_WIRE_TIMEOUT' } });
      await guest.pagesWritten(1000);
    } finally {
      signalProcess(hung, 'SIGCONT');
    }
    await nothingRemains(pair.b, VM);
    await isIntactAt(pair.a);
  });

  test('destination that answers but never confirms a round: the VM stays', async () => {
    const keepQuiet: Lie = (frame) => (frame === 'roundAck' ? [] : undefined);
    await using link = await LyingLink.open(pair.b.host.migration, 'destination', keepQuiet);
    const { report } = await (await begin({ to: link.address, mode: 'pre-copy' })).ended;
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_WIRE_STALLED' } });
    await nothingRemains(pair.b, VM);
    await isIntactAt(pair.a);
  });

  test('destination daemon that hangs in stopping: the VM does not stand still for it for long', async () => {
    using guest = await openTinyGuest(pair.a, VM);
    const hung = identifyProcess(pair.b.host.pid)!;
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB, maxDowntimeMs: 60_000 });
    await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
    // From here on it hears so late that it hangs before it has heard of the stop.
    pair.link.shape(LATE_LINK, 'up');
    try {
      await migration.reaches('stopping');
      signalProcess(hung, 'SIGSTOP');
      await waitUntil('the VM stands still', async () => (await measureWork(guest, WORK_SAMPLE_MS)) === 0);
      const atMs = performance.now();
      await guest.pagesWritten(1);
      expect(performance.now() - atMs).toBeLessThan(STANDSTILL_MS);
      const { report } = await endAt(pair.a, migration.id);
      expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_WIRE_TIMEOUT' } });
    } finally {
      signalProcess(hung, 'SIGCONT');
      pair.link.shape(FULL_LINK);
    }
    await nothingRemains(pair.b, VM);
    await isIntactAt(pair.a);
  });
});

/** Every mode × every accelerator × what the VM does meanwhile; the memory is judged from outside. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { countPages, PAGE_SIZE } from '../../src/base/page.ts';
import { MIGRATION_MODES, type MigrationMode } from '../../src/migration/request.ts';
import { type Capability, requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import {
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
  type ReachedHost,
} from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import type { TinyGuestView } from '../support/tiny-guest-view.ts';
import { listMarks, nothingRemains } from '../support/traces.ts';

checkLeaks();

const WORKING_PAGES = 4096;
/** Behind the 16 MiB that the guest writes: pages that it never touches again; the rest of the 64 MiB are holes. */
const STILL_PAGES = 500;
/** Contents for both, or a page whose counter comes to 0 would be a zero page. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES + STILL_PAGES, randomWords: 1024 };
const RAM_PAGES = (64 * 2 ** 20) / PAGE_SIZE;
/**
 * Turns of an empty loop after each page. Idle: about a page a millisecond. Steady: some that were sent are written
 * again before the VM stands still. Busy: all of them are, all the time.
 */
const LOADS = { idle: 200_000, steady: 10_000, busy: 0 } as const;
/** QEMU's own timestamps and two clocks on one machine. */
const CLOCK_TOLERANCE_MS = 1;

const LOADED = withFurther<keyof typeof LOADS>(['idle', 'busy'], ['steady']);
const CASES = MIGRATION_MODES.flatMap((mode) => LOADED.map((load) => ({ mode, load })));

let pair: HostPair;

function describeModes(accel: 'tcg' | 'kvm', needed: Capability[]): void {
  requireCapability(...needed)(`modes under ${accel}`, () => {
    const vm = `modes-${accel}`;

    beforeAll(async () => {
      pair = await HostPair.open();
      await createTinyVm(pair.a, { name: vm, accel, guest: { pageCount: WORKING_PAGES, fill: FILL } });
    });
    afterAll(() => pair?.[Symbol.asyncDispose]());

    test.each(CASES)('$mode of a VM that is $load keeps every page', async ({ mode, load }) => {
      const { at, other } = await pair.locate(vm);
      const before = await observe(at, vm, (guest) => {
        guest.change({ delay: LOADS[load] });
        return dataPages(guest);
      });
      // Over as many as are best, as everywhere by default.
      const report = completedReport(await pair.move(vm, { mode, verify: true, connections: 0 }));
      expectConsistent(report, mode, { from: at.host.name, to: other.host.name });

      const { pid } = await isFree(other, vm);
      await observe(other, vm, async (guest) => {
        await guest.pagesWritten(50);
        await other.client.actOnVm(vm, 'pause');
        const invariant = guest.checkInvariant();
        const after = dataPages(guest);
        await other.client.actOnVm(vm, 'resume');
        expect(invariant).toEqual({ ok: true });
        // What was a hole there, or zero, is a hole here: nothing was made up, and nothing was allocated for it.
        expect(after).toBeGreaterThan(FILL.pageCount);
        expect(after).toBeLessThanOrEqual(before);
        await guest.pagesWritten(50);
      });
      expect(listMarks(pid!)).toEqual([]);
      await nothingRemains(at, vm);
    });

    test.each(MIGRATION_MODES)('%s of a paused VM carries every byte and leaves it paused', async (mode) => {
      const { at, other } = await pair.locate(vm);
      await at.client.actOnVm(vm, 'pause');
      const before = await observe(at, vm, memoryHash);
      const report = completedReport(await pair.move(vm, { mode, verify: true }));
      expect(report).toMatchObject({ downtimeMs: null, downtimeParts: null, verify: { equal: true } });
      expect(report.throttle.maxPercent).toBe(0);
      const { state } = await isFree(other, vm);
      expect(state).toBe('paused');
      expect(await observe(other, vm, memoryHash)).toBe(before);
      await other.client.actOnVm(vm, 'resume');
      await observe(other, vm, (guest) => guest.pagesWritten(50));
    });
  });
}

describeModes('tcg', ['vm']);
describeModes('kvm', ['vm', 'kvm']);

async function observe<T>(at: ReachedHost, vm: string, look: (guest: TinyGuestView) => T | Promise<T>): Promise<T> {
  using guest = await openTinyGuest(at, vm);
  return await look(guest);
}

function dataPages(guest: TinyGuestView): number {
  return countPages(guest.ram.dataRuns(0, RAM_PAGES));
}

function memoryHash(guest: TinyGuestView): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(2 ** 20);
  for (let offset = 0; offset < guest.ram.bytes; offset += chunk.length) {
    guest.ram.read(offset, chunk);
    hash.update(chunk);
  }
  return hash.digest('hex');
}

function expectConsistent(report: ReportView, mode: MigrationMode, hosts: { from: string; to: string }): void {
  expect(report).toMatchObject({
    from: hosts.from,
    mode,
    owner: hosts.to,
    error: null,
    ramBytes: RAM_PAGES * PAGE_SIZE,
  });
  expect(report.verify).toMatchObject({ equal: true });

  const parts = Object.values(report.downtimeParts!);
  expect(parts.reduce((sum, part) => sum + part, 0)).toBeCloseTo(report.downtimeMs!, 3);
  expect(Math.min(...parts)).toBeGreaterThan(-CLOCK_TOLERANCE_MS - report.clockUncertaintyMs);
  expect(report.downtimeMs).toBeGreaterThan(0);
  expect(report.downtimeMs).toBeLessThan(report.totalMs);

  const { pages, rounds, postCopy } = report;
  expect(pages.total).toBe(RAM_PAGES);
  expect(pages.hole).toBe(RAM_PAGES - report.verify!.pages - pages.zero);
  if (postCopy) expect(pages.sent - pages.resent).toBeGreaterThanOrEqual(report.verify!.pages);
  else expect(pages.sent - pages.resent).toBe(report.verify!.pages);
  const { unchangedPages, duplicateSavedBytes, deltaSavedBytes, compressedFromBytes, compressedToBytes } =
    report.packing!;
  const savedBytes =
    unchangedPages * PAGE_SIZE + duplicateSavedBytes + deltaSavedBytes + compressedFromBytes - compressedToBytes;
  expect(report.wireBytes + savedBytes).toBeGreaterThan(pages.sent * PAGE_SIZE);
  expect(rounds.map(({ number }) => number)).toEqual(rounds.map((_, index) => index + 1));
  expect(rounds.reduce((sum, round) => sum + round.pages, 0)).toBeLessThanOrEqual(pages.sent);
  expect(rounds.slice(0, -1).every(({ rule }) => /^(V3-next|V3-first|V3-cheaper|S3|S4|relax)$/.test(rule))).toBe(true);

  if (mode === 'pre-copy') expect(postCopy).toBeNull();
  if (mode === 'post-copy') expect([rounds.length, postCopy?.missingPages]).toEqual([0, report.verify!.pages]);
  if (mode === 'hybrid') expect(rounds.length).toBeGreaterThanOrEqual(1);
  if (postCopy) {
    expect(postCopy.reconnects).toBe(0);
    expect(postCopy.pushedPages).toBeLessThanOrEqual(postCopy.missingPages);
    expect(postCopy.residentMs).toBeLessThan(report.totalMs);
  }
}

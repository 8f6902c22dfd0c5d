/**
 * A VM with the tiny guest at a host daemon of the bench: up at once, and its working set and rate can be set.
 *
 * Must hold: its parameters are changed only while all of its pages are where it runs (guest/tiny/control.ts).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isTinyGuestReady, readTinyCounters, writeTinyParameters } from '../guest/tiny/control.ts';
import { buildTinyGuest } from '../guest/tiny/image.ts';
import { FIRST_USABLE_PAGE, type WriteMode } from '../guest/tiny/layout.ts';
import type { TinySharing } from '../guest/tiny/sharing-layout.ts';
import { listOpenFiles } from '../src/linux/process.ts';
import { RamFile } from '../src/linux/ram-file.ts';
import type { GodwitHost } from './godwit-hosts.ts';
import type { Bench } from './system.ts';

export interface TinyWork {
  /** Pages that hold data: half of each random, half of it compressible. */
  readonly dataPages: number;
  /** The first of them, which are written again and again. */
  readonly workingPages: number;
  /** undefined: as fast as it can. */
  readonly pagesPerSecond?: number;
  readonly writeMode: WriteMode;
}

/** Its part in memory that VMs share: a step of the sharing workload after each page of its own. */
export interface TinyShare extends TinySharing {
  readonly region: { readonly name: string; readonly size: number };
}

const MEMORY_BYTES = 512 * 2 ** 20;
const TRIAL_DELAY = 50_000;
const TRIAL_MS = 300;
const POLL_MS = 10;
const READY_TIMEOUT_MS = 30_000;

/** Starts it and waits until it works as it is to. */
export async function createTinyVm(
  bench: Bench,
  at: GodwitHost,
  name: string,
  work: TinyWork,
  share?: TinyShare,
): Promise<void> {
  const firmware = join(bench.directory, `${name}.bin`);
  const { dataPages, workingPages, writeMode } = work;
  const fill = { firstPage: FIRST_USABLE_PAGE, pageCount: dataPages };
  const own = { firstPage: FIRST_USABLE_PAGE, pageCount: workingPages, writeMode, fill };
  writeFileSync(firmware, buildTinyGuest({ mode: 'long3', ...own, ...(share ? { sharing: share } : {}) }));
  const { pid } = await at.client.createVm({
    ...{
      name,
      memory: MEMORY_BYTES,
      vcpus: 1,
      accel: 'tcg',
      qemu: bench.qemu.wrapper,
      firmware,
      disks: [],
      sharedMemory: share ? [share.region] : [],
      qemuArgs: [],
    },
  });
  using ram = openTinyRam(pid!);
  await until(() => isTinyGuestReady(ram));
  await setRate(ram, work);
}

/** By what the machine can do now. */
async function setRate(ram: RamFile, { pagesPerSecond }: TinyWork): Promise<void> {
  writeTinyParameters(ram, { delay: pagesPerSecond === undefined ? 0 : TRIAL_DELAY });
  if (pagesPerSecond === undefined) return;
  const from = { pages: readTinyCounters(ram).pagesWritten, atMs: performance.now() };
  await delay(TRIAL_MS);
  const rate = ((readTinyCounters(ram).pagesWritten - from.pages) * 1000) / (performance.now() - from.atMs);
  writeTinyParameters(ram, { delay: Math.round((TRIAL_DELAY * rate) / pagesPerSecond) });
}

export function openTinyRam(pid: number): RamFile {
  const file = listOpenFiles(pid).find(({ path }) => path.startsWith('/dev/shm/'));
  if (file === undefined) throw new Error(`QEMU ${pid} has no RAM file`);
  return RamFile.open(`/proc/${pid}/fd/${file.fd}`, MEMORY_BYTES);
}

async function until(reached: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (!reached()) {
    if (performance.now() > deadlineMs) throw new Error('the tiny guest does not get ready');
    await delay(POLL_MS);
  }
}

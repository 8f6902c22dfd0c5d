/**
 * What is in the memory of the VMs that run on this host, as it was looked through last.
 *
 * Owns: a directory with one index a VM, and samples of it; its name says which process it is of. Must hold: of a process that has ended, or
 * whose number another one has by now, nothing is opened.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../linux/process.ts';
import { BlockSampler } from '../memory/block-sample.ts';
import { readContentIndex, writeContentIndex } from '../memory/content-index.ts';
import { MAX_INDEXED_PAGES, scanContents } from '../memory/content-scan.ts';
import type { HeldImage } from '../memory/content-store.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import type { PageFingerprint } from '../memory/page-fingerprint.ts';
import { findRamFiles } from '../qemu/ram.ts';
import { writeSamples } from './scanned-sample.ts';

export interface LiveVm {
  readonly pid: number;
  readonly startTicks: number;
}

const NAME = /^(\d{1,10})-(\d{1,19})$/;

/** The last that was looked through first. */
export function listScanned(directory: string): (LiveVm & { readonly scannedAtMs: number })[] {
  return readNames(directory)
    .flatMap((name) => {
      const [, pid, startTicks] = NAME.exec(name) ?? [];
      const status = statSync(join(directory, name), { throwIfNoEntry: false });
      if (pid === undefined || !status) return [];
      return [{ pid: Number(pid), startTicks: Number(startTicks), scannedAtMs: status.mtimeMs }];
    })
    .sort((a, b) => b.scannedAtMs - a.scannedAtMs);
}

/** Removes what a process that was killed while it wrote has left. */
export function removeHalfScanned(directory: string): void {
  for (const name of readNames(directory)) if (name.endsWith('.new')) rmSync(join(directory, name), { force: true });
}

/** On this thread. @param goOn - called all the time; throws to end it */
export function scanVm(directory: string, vm: LiveVm, fingerprint: PageFingerprint, goOn: () => void): void {
  using memory = openMemory(vm);
  if (!memory) return;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const blocks = new BlockSampler(fingerprint.key);
  const index = scanContents(memory, fingerprint, (_, contents) => {
    blocks.add(contents);
    goOn();
  });
  const path = pathOf(directory, vm);
  writeContentIndex(path, index, fingerprint);
  writeSamples(samplesPathIn(directory, vm), index, blocks.finish());
}

export function forgetScanned(directory: string, vm: LiveVm): void {
  for (const path of [pathOf(directory, vm), samplesPathIn(directory, vm)]) rmSync(path, { force: true });
}

/** undefined: it has ended, or nothing is known of it. */
export function openScanned(directory: string, vm: LiveVm, fingerprint: PageFingerprint): HeldImage | undefined {
  const index = readContentIndex(pathOf(directory, vm), fingerprint, MAX_INDEXED_PAGES);
  const memory = index && openMemory(vm);
  if (!memory) return undefined;
  const all = { first: 0, count: memory.layout.pageCount };
  const image = {
    pieces: memory.filePieces([all]),
    isOver: () => !isAlive(vm),
    [Symbol.dispose]: () => memory[Symbol.dispose](),
  };
  return { index, image };
}

/** Of the samples of what was found (scanned-sample.ts). */
export function samplesPathIn(directory: string, vm: LiveVm): string {
  return `${pathOf(directory, vm)}.samples`;
}

export function openMemory(vm: LiveVm): GuestMemory | undefined {
  if (!isAlive(vm)) return undefined;
  const files = findRamFiles(vm.pid);
  if (files.length === 0) return undefined;
  const layout = new RamLayout(files.map(({ path, bytes }) => ({ id: path, bytes })));
  return GuestMemory.open(
    layout,
    files.map(({ path }) => path),
  );
}

function pathOf(directory: string, { pid, startTicks }: LiveVm): string {
  return join(directory, `${pid}-${startTicks}`);
}

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

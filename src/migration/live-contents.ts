/**
 * What is in the memory of the VMs that run on this host, as it was looked through last.
 *
 * Owns: a directory with one index a VM; its name says which process it is of. Must hold: of a process that has ended, or
 * whose number another one has by now, nothing is opened.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { type ContentIndex, readContentIndex, writeContentIndex } from '../memory/content-index.ts';
import { MAX_INDEXED_PAGES, scanContents } from '../memory/content-scan.ts';
import type { HeldImage } from '../memory/content-store.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import type { PageFingerprint } from '../memory/page-fingerprint.ts';
import { findRamFiles } from '../qemu/ram.ts';

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
  writeContentIndex(pathOf(directory, vm), scanContents(memory, fingerprint, goOn), fingerprint);
}

export function forgetScanned(directory: string, vm: LiveVm): void {
  rmSync(pathOf(directory, vm), { force: true });
}

/**
 * What was found in the VM when it was looked through last.
 *
 * @param knownAtMs - when that was, of what the caller knows already
 * @returns undefined when nothing is known of it, or nothing newer
 */
export function readScanned(
  directory: string,
  vm: LiveVm,
  fingerprint: PageFingerprint,
  knownAtMs?: number,
): { readonly index: ContentIndex; readonly scannedAtMs: number } | undefined {
  const path = pathOf(directory, vm);
  const scannedAtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  if (scannedAtMs === undefined || scannedAtMs === knownAtMs) return undefined;
  const index = readContentIndex(path, fingerprint, MAX_INDEXED_PAGES);
  return index && { index, scannedAtMs };
}

/** undefined: it has ended, or nothing is known of it. */
export function openScanned(directory: string, vm: LiveVm, fingerprint: PageFingerprint): HeldImage | undefined {
  const index = readContentIndex(pathOf(directory, vm), fingerprint, MAX_INDEXED_PAGES);
  const memory = index && openMemory(vm);
  if (!memory) return undefined;
  const all = { first: 0, count: memory.layout.pageCount };
  const image = { pieces: memory.filePieces([all]), [Symbol.dispose]: () => memory[Symbol.dispose]() };
  return { index, image };
}

function openMemory(vm: LiveVm): GuestMemory | undefined {
  if (!isAlive(vm)) return undefined;
  const files = findRamFiles(vm.pid);
  if (files.length === 0) return undefined;
  const layout = new RamLayout(files.map(({ path, bytes }) => ({ id: path, bytes })));
  return new GuestMemory(
    layout,
    files.map(({ path, bytes }) => RamFile.open(path, bytes)),
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

/**
 * The memory of the VMs that came to this host lately or are on their way, by the migration that each came by, so that
 * pages of one can serve another.
 *
 * Owns: a directory with a file a migration that says where its VM's memory is, and descriptors of the memories that were asked
 * for. Must hold: what is read here may have changed since anybody said what it is; nothing of a process that has ended
 * is kept for long, nor of more VMs than a few, whatever the source names.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../base/errors.ts';
import { isAlive, type ProcessIdentity } from '../linux/process.ts';
import type { FilePiece } from '../linux/ram-file.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { readPieces } from '../memory/page-files.ts';
import type { FoundRegion } from './known-ram.ts';
import { type KnownRegion, readKnownRam, writeDownRam } from './known-ram.ts';

interface ArrivalRecord extends ProcessIdentity {
  readonly regions: readonly KnownRegion[];
}

interface OpenedMemory extends Disposable {
  readonly owner: ProcessIdentity;
  readonly pieces: readonly FilePiece[];
}

/** Longer than a source remembers what it sent (transfer/sent-contents.ts). */
const KEPT_MS = 1_200_000;
/** Of so many VMs that are named memory is open, or it is known that there is none. */
const MAX_OPEN = 64;
/** A VM that was not there is looked for again; one that has ended is let go of. */
const LOOK_AGAIN_MS = 1000;

/** The VM that comes by this migration has its memory there. */
export function announceArrival(
  directory: string,
  migration: Uint8Array,
  { pid, startTicks }: ProcessIdentity,
  regions: readonly FoundRegion[],
): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const oldestMs = Date.now() - KEPT_MS;
  for (const name of readdirSync(directory)) {
    const status = statSync(join(directory, name), { throwIfNoEntry: false });
    if (status && status.mtimeMs < oldestMs) rmSync(join(directory, name), { force: true });
  }
  const path = pathOf(directory, migration);
  const record: ArrivalRecord = { pid, startTicks, regions: writeDownRam(regions) };
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export class ArrivedMemories implements Disposable {
  readonly #directory: string;
  /** null: there is none. */
  readonly #memories = new Map<string, OpenedMemory | null>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** False when there is no such page. */
  read(migration: Uint8Array, page: number, into: Uint8Array): boolean {
    this.forgetEnded();
    const name = nameOf(migration);
    let memory = this.#memories.get(name);
    if (memory === undefined) {
      memory = this.#open(migration) ?? null;
      if (this.#memories.size >= MAX_OPEN) this.#close(this.#memories.keys().next().value!);
      this.#memories.set(name, memory);
    }
    return memory !== null && readPieces(memory.pieces, page, into);
  }

  /** Now and then: nobody else gives back the memory of a VM that has ended here. */
  forgetEnded(): void {
    const nowMs = performance.now();
    if (nowMs < this.#lookedAtMs + LOOK_AGAIN_MS) return;
    this.#lookedAtMs = nowMs;
    for (const [name, memory] of [...this.#memories]) if (!memory || !isAlive(memory.owner)) this.#close(name);
  }

  [Symbol.dispose](): void {
    for (const name of [...this.#memories.keys()]) this.#close(name);
  }

  #close(name: string): void {
    this.#memories.get(name)?.[Symbol.dispose]();
    this.#memories.delete(name);
  }

  /** undefined: it never came, or has ended. */
  #open(migration: Uint8Array): OpenedMemory | undefined {
    try {
      const record = JSON.parse(readFileSync(pathOf(this.#directory, migration), 'utf8')) as ArrivalRecord;
      if (!isAlive(record)) return undefined;
      const regions = readKnownRam(record.regions);
      const layout = new RamLayout(regions);
      const files = regions.map(({ fdPath }) => fdPath);
      const memory = GuestMemory.open(layout, files);
      const pieces = memory.filePieces([{ first: 0, count: layout.pageCount }]);
      return { owner: record, pieces, [Symbol.dispose]: () => memory[Symbol.dispose]() };
    } catch (error) {
      // The page is sent.
      if (isGone(error)) return undefined;
      throw error;
    }
  }
}

/** The record was never written or is too old, or the process has ended since it was looked at. */
function isGone(error: unknown): boolean {
  if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return true;
  const name = hasCode(error, 'GW_SYS_CALL') ? error.details['errno'] : (error as NodeJS.ErrnoException).code;
  return name === 'ENOENT' || name === 'ESRCH';
}

function pathOf(directory: string, migration: Uint8Array): string {
  return join(directory, nameOf(migration));
}

function nameOf(migration: Uint8Array): string {
  return Buffer.from(migration).toString('hex');
}

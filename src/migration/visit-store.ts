/**
 * What VMs that have left have left here: an image of the memory of each, for the day when it comes back.
 *
 * Owns: a directory below the state directory, one directory a VM in it, and the budget. Must hold: a visit counts from
 * the moment that its index is there, and goes with it; the oldest goes first; what a process that was killed has half
 * written goes at the next start.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface VisitPolicy {
  readonly directory: string;
  /** Of all visits together; 0 keeps none. */
  readonly budgetBytes: number;
}

export interface Visit {
  readonly uuid: string;
  readonly imagePath: string;
  readonly indexPath: string;
  /** On the disk. */
  readonly bytes: number;
  readonly leftAtMs: number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const BLOCK_BYTES = 512;
/** Of the file system, for whoever else writes there: journals above all. */
const LEFT_FREE_PART = 0.1;

export class VisitStore {
  readonly #policy: VisitPolicy;

  constructor(policy: VisitPolicy) {
    this.#policy = policy;
  }

  /** The last that left first. */
  list(): Visit[] {
    return this.#names()
      .flatMap((uuid) => this.#find(uuid) ?? [])
      .sort((a, b) => b.leftAtMs - a.leftAtMs);
  }

  /**
   * Makes room for a visit, at the cost of others, and forgets the one before of this VM.
   * @returns where it belongs; undefined when it is larger than the budget, or the VM has no name that can be one of a file
   */
  begin(uuid: string, bytes: number): Pick<Visit, 'imagePath' | 'indexPath'> | undefined {
    if (!UUID.test(uuid)) return undefined;
    this.remove(uuid);
    const { directory, budgetBytes } = this.#policy;
    // Other threads may be writing visits.
    const room = budgetBytes - this.#begunBytes();
    if (bytes > room) return undefined;
    this.#shrinkTo(room - bytes);
    mkdirSync(join(directory, uuid), { recursive: true, mode: 0o700 });
    if (bytes > spareBytes(directory)) {
      this.remove(uuid);
      return undefined;
    }
    writeFileSync(this.#pathsOf(uuid).sizePath, String(bytes));
    return this.#pathsOf(uuid);
  }

  /** To the budget. */
  shrink(): void {
    this.#shrinkTo(this.#policy.budgetBytes);
  }

  remove(uuid: string): void {
    if (!UUID.test(uuid)) return;
    rmSync(this.#pathsOf(uuid).indexPath, { force: true });
    rmSync(join(this.#policy.directory, uuid), { recursive: true, force: true });
  }

  /** Before any other process or thread writes here. */
  tidy(): void {
    for (const uuid of this.#names()) if (!this.#find(uuid)) this.remove(uuid);
    this.shrink();
  }

  #shrinkTo(bytes: number): void {
    let total = 0;
    for (const visit of this.list()) {
      total += visit.bytes;
      if (total > bytes) this.remove(visit.uuid);
    }
  }

  /** Of the visits that are being written. */
  #begunBytes(): number {
    return this.#names()
      .filter((uuid) => !this.#find(uuid))
      .reduce((sum, uuid) => sum + readSize(this.#pathsOf(uuid).sizePath), 0);
  }

  #find(uuid: string): Visit | undefined {
    const { imagePath, indexPath } = this.#pathsOf(uuid);
    const index = statSync(indexPath, { throwIfNoEntry: false });
    const image = statSync(imagePath, { throwIfNoEntry: false });
    if (!index || !image) return undefined;
    const bytes = (image.blocks + index.blocks) * BLOCK_BYTES;
    return { uuid, imagePath, indexPath, bytes, leftAtMs: index.mtimeMs };
  }

  #names(): string[] {
    try {
      return readdirSync(this.#policy.directory).filter((name) => UUID.test(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #pathsOf(uuid: string): Pick<Visit, 'imagePath' | 'indexPath'> & { readonly sizePath: string } {
    const directory = join(this.#policy.directory, uuid);
    return {
      imagePath: join(directory, 'image'),
      indexPath: join(directory, 'index'),
      sizePath: join(directory, 'size'),
    };
  }
}

function spareBytes(directory: string): number {
  const { bavail, blocks, bsize } = statfsSync(directory);
  return (bavail - blocks * LEFT_FREE_PART) * bsize;
}

/** 0 when it is gone by now. */
function readSize(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/**
 * Follows one write to the memory of a sample process from end to end, in each of the ways in which written pages are found.
 *
 * Owns: the trials. Must hold: the write is undone in effect (it writes what is there), and nothing stays registered.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { explain, GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import {
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_THREAD_ID,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
} from './abi/userfaultfd.ts';
import { DirtyScanner } from './pagemap.ts';
import { readMappings } from './process.ts';
import { Userfaultfd } from './userfaultfd.ts';

/** As `--tracker kernel` does. */
export function trackOneWrite(pid: number): undefined {
  const { start, bytes, lastPage } = findMemory(pid);
  using uffd = Userfaultfd.openInside(pid, {
    features: UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
    keepInside: false,
    allowUserModeOnly: true,
  });
  uffd.register(start, bytes, { writeProtect: true });
  using scanner = new DirtyScanner(pid, start, bytes);
  scanner.arm();
  using memory = new ForeignByte(pid, lastPage);
  memory.rewrite();
  const written = scanner.collect();
  if (written.length !== 1 || written[0]!.first !== bytes / PAGE_SIZE - 1) {
    throw failed(`one page was written, and ${JSON.stringify(written)} reported`);
  }
  return undefined;
}

/** As `--tracker groups` does: a write to a protected page is held up, and goes through once the page is not any more. */
export function holdUpOneWrite(pid: number): undefined {
  const { lastPage } = findMemory(pid);
  const features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID;
  using memory = new ForeignByte(pid, lastPage);
  // The page must be there before it is protected.
  memory.rewrite();
  using uffd = Userfaultfd.openInside(pid, { features, keepInside: false });
  uffd.register(lastPage, PAGE_SIZE, { writeProtect: true });
  uffd.writeProtect(lastPage, PAGE_SIZE, true);
  if (!isHeldUp(memory)) throw failed('a write to a protected page went through');
  uffd.writeProtect(lastPage, PAGE_SIZE, false);
  memory.rewrite();
  return undefined;
}

/** The way that a migration takes by itself. */
export function chooseTracking(pid: number): string {
  try {
    trackOneWrite(pid);
    return 'by the kernel';
  } catch (error) {
    holdUpOneWrite(pid);
    return `by write faults in page groups, because the kernel does not: ${explain(error)}`;
  }
}

/** The heap of the sample, or its stack. */
function findMemory(pid: number): { start: bigint; bytes: number; lastPage: bigint } {
  const memory = readMappings(pid).find((mapping) => mapping.path === '[heap]' || mapping.path === '[stack]');
  if (memory === undefined) throw new Error('the sample process has neither heap nor stack');
  const { start, end } = memory;
  return { start, bytes: Number(end - start), lastPage: end - BigInt(PAGE_SIZE) };
}

/** Writes a byte of another process with its own value. */
class ForeignByte implements Disposable {
  readonly #fd: number;
  readonly #address: bigint;
  readonly #byte = new Uint8Array(1);

  constructor(pid: number, address: bigint) {
    this.#fd = openSync(`/proc/${pid}/mem`, 'r+');
    this.#address = address;
    readSync(this.#fd, this.#byte, 0, 1, address);
  }

  rewrite(): void {
    // Node takes only safe integers for the position of a write; user addresses are below 2^47.
    writeSync(this.#fd, this.#byte, 0, 1, Number(this.#address));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Whoever writes by way of /proc cannot wait for a fault to be answered, and is refused instead. */
function isHeldUp(memory: ForeignByte): boolean {
  try {
    memory.rewrite();
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return true;
    throw error;
  }
}

function failed(reason: string): GodwitError {
  return new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'dirty tracking', reason });
}

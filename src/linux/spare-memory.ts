/**
 * Memory that this process has and does not use, given back to the kernel.
 *
 * V8 keeps pages that were full while modules loaded, and glibc's malloc keeps what was freed: after loading both hold more
 * than they use (docs/performance.md). Must hold: nobody waits for the thread that does it, which takes a tenth of a second;
 * where V8's collector is not at hand (`--expose-gc`) or the C library is another one, nothing is given back and nothing breaks.
 * https://man7.org/linux/man-pages/man3/malloc_trim.3.html, https://man7.org/linux/man-pages/man3/mallopt.3.html
 */
import { M_MMAP_THRESHOLD } from './abi/malloc.ts';
import { type Library, loadLibrary } from './raw.ts';

/**
 * A block of this size or more has a mapping of its own, which is unmapped when it is freed. malloc begins so, and then moves
 * the threshold up to 32 MiB by what it sees freed: from there on what a migration had for its tables and buffers stays.
 */
const OWN_MAPPING_BYTES = 256 * 1024;

/** Once for the process, before it allocates what is large. */
export function keepLargeBlocksApart(): void {
  // SAFETY: malloc changes its own settings, under its own lock; nothing blocks.
  find('int mallopt(int param, int value)')?.(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
}

/** Of this thread's heap, and of what the whole process has freed. */
export function giveSpareMemoryBack(): void {
  // Anything less leaves the pages half full, or in V8's pool.
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  // SAFETY: malloc gives pages back that hold no block, under the locks of its arenas: others wait for some milliseconds.
  find('int malloc_trim(size_t pad)')?.(0);
}

function find(prototype: string): ((...numbers: number[]) => number) | undefined {
  const libc: Library | undefined = loadLibrary('libc.so.6');
  try {
    return libc?.func(prototype) as ((...numbers: number[]) => number) | undefined;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/**
 * Page faults as the kernel reports them, some of them at once.
 *
 * Owns: the memory that `Userfaultfd.readFaults` fills (struct uffd_msg). Its numbers are valid until the next read.
 */
import {
  UFFD_EVENT_PAGEFAULT,
  UFFD_MESSAGE_WORDS,
  UFFD_PAGEFAULT_FLAG_MINOR,
  UFFD_PAGEFAULT_FLAG_WP,
  UFFD_PAGEFAULT_FLAG_WRITE,
} from './abi/userfaultfd.ts';

/** The kernel hands out as many as fit; more than 64 threads of one VM rarely wait at the same time. */
export const MAX_FAULTS_PER_READ = 64;

const HALF_WORDS = UFFD_MESSAGE_WORDS * 2;

export class FaultBatch {
  readonly words: BigUint64Array<ArrayBuffer>;
  /** The same memory in halves: small numbers without a bigint each. */
  readonly #halves: Uint32Array;
  #count = 0;

  /** @param most - faults for which it has room */
  constructor(most: number = MAX_FAULTS_PER_READ) {
    this.words = new BigUint64Array(most * UFFD_MESSAGE_WORDS);
    this.#halves = new Uint32Array(this.words.buffer);
  }

  get count(): number {
    return this.#count;
  }

  /** Where the thread touched, in the process's own addresses; the start of the page. */
  address(index: number): bigint {
    return this.words[index * UFFD_MESSAGE_WORDS + 2]!;
  }

  /** `address(index) - start` as a number, for a start within 2^52 of it. */
  offsetFrom(index: number, start: bigint): number {
    const at = index * HALF_WORDS + 4;
    return this.#halves[at + 1]! * 2 ** 32 + this.#halves[at]! - Number(start);
  }

  /** UFFD_PAGEFAULT_FLAG_… bits. */
  flags(index: number): number {
    return this.#halves[index * HALF_WORDS + 2]!;
  }

  isWrite(index: number): boolean {
    return (this.flags(index) & UFFD_PAGEFAULT_FLAG_WRITE) !== 0;
  }

  /** The page is there and write-protected. */
  isWriteProtect(index: number): boolean {
    return (this.flags(index) & UFFD_PAGEFAULT_FLAG_WP) !== 0;
  }

  /** The page is in the RAM file but not yet continued. */
  isMinor(index: number): boolean {
    return (this.flags(index) & UFFD_PAGEFAULT_FLAG_MINOR) !== 0;
  }

  /** The thread that waits; 0 without UFFD_FEATURE_THREAD_ID. */
  threadId(index: number): number {
    return this.#halves[index * HALF_WORDS + 6]!;
  }

  /** Takes over `bytes` bytes of messages; events other than page faults, which nobody asks for, are dropped. */
  accept(bytes: number): number {
    const messages = bytes / (UFFD_MESSAGE_WORDS * 8);
    let kept = 0;
    for (let i = 0; i < messages; i++) {
      if ((this.#halves[i * HALF_WORDS]! & 0xff) !== UFFD_EVENT_PAGEFAULT) continue;
      if (kept !== i) {
        this.words.copyWithin(kept * UFFD_MESSAGE_WORDS, i * UFFD_MESSAGE_WORDS, (i + 1) * UFFD_MESSAGE_WORDS);
      }
      kept++;
    }
    this.#count = kept;
    return kept;
  }
}

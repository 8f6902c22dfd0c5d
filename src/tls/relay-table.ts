/**
 * What is known of the connections that a relay carries, for whoever has the other end of one.
 *
 * Owns: nothing but the layout; the memory is shared by all threads of the process. A connection is found by the inode of the
 * socket that was given out, which its duplicates have as well. Must hold: a slot has one relayed connection at a time, and is free again
 * when the thread that has it is dead; who reads an entry that is just given up reads numbers that mean nothing for that moment, and
 * never more than that.
 */
import { fstatSync } from 'node:fs';

const SLOTS = 1024;
const SlotWords = { inode: 0, tcpFd: 1, heldBytes: 2, thread: 3 } as const;
const WORDS = 4;
/** In place of an inode. */
const FREE = 0n;
/** In place of an inode: taken by a thread, whose number the slot does not say yet. */
const claimedBy = (thread: number): bigint => -1n - BigInt(thread);

export interface RelayedNumbers {
  /** Descriptor of the TCP connection in this process. */
  readonly tcpFd: number;
  /** Taken from the socket, and not the TCP connection's yet. */
  readonly heldBytes: number;
}

export function createRelayTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * WORDS * BigInt64Array.BYTES_PER_ELEMENT);
}

/** Frees what a thread has left behind. @param thread - is dead */
export function freeEntriesOf(thread: number, table: SharedArrayBuffer): void {
  const words = new BigInt64Array(table);
  for (let slot = 0; slot < SLOTS * WORDS; slot += WORDS) {
    const inode = Atomics.load(words, slot + SlotWords.inode);
    // A slot that another thread has just claimed still names its last owner.
    const isItsOwn = inode > FREE && Atomics.load(words, slot + SlotWords.thread) === BigInt(thread);
    if (isItsOwn || inode === claimedBy(thread)) Atomics.store(words, slot + SlotWords.inode, FREE);
  }
}

export interface RelayedFacts {
  /** Of the socket that was given out. */
  readonly inode: bigint;
  /** Of node:worker_threads. */
  readonly thread: number;
  readonly tcpFd: number;
}

/** One connection, as the relay writes it down. With a full table it is not found, and nothing is known of it. */
export class RelayEntry {
  readonly #words: BigInt64Array;
  /** -1: none. */
  readonly #slot: number;

  constructor(table: SharedArrayBuffer, { inode, thread, tcpFd }: RelayedFacts) {
    this.#words = new BigInt64Array(table);
    this.#slot = this.#claim(claimedBy(thread));
    if (this.#slot === -1) return;
    Atomics.store(this.#words, this.#slot + SlotWords.thread, BigInt(thread));
    Atomics.store(this.#words, this.#slot + SlotWords.heldBytes, 0n);
    Atomics.store(this.#words, this.#slot + SlotWords.tcpFd, BigInt(tcpFd));
    // From here on it is found.
    Atomics.store(this.#words, this.#slot + SlotWords.inode, inode);
  }

  hold(bytes: number): void {
    if (this.#slot !== -1) Atomics.add(this.#words, this.#slot + SlotWords.heldBytes, BigInt(bytes));
  }

  end(): void {
    if (this.#slot !== -1) Atomics.store(this.#words, this.#slot + SlotWords.inode, FREE);
  }

  #claim(claim: bigint): number {
    for (let slot = 0; slot < SLOTS * WORDS; slot += WORDS) {
      if (Atomics.compareExchange(this.#words, slot + SlotWords.inode, FREE, claim) === FREE) return slot;
    }
    return -1;
  }
}

/** Looks for one connection. */
export class RelayView {
  readonly #words: BigInt64Array;
  readonly #inode: bigint;
  #slot = -1;

  /** @param fd - any duplicate of the socket */
  constructor(table: SharedArrayBuffer, fd: number) {
    this.#words = new BigInt64Array(table);
    this.#inode = inodeOf(fd);
  }

  /** undefined: it is not relayed yet, not any more, or not at all. */
  read(): RelayedNumbers | undefined {
    if (this.#slot === -1 || this.#words[this.#slot + SlotWords.inode] !== this.#inode) this.#slot = this.#find();
    if (this.#slot === -1) return undefined;
    return {
      tcpFd: Number(Atomics.load(this.#words, this.#slot + SlotWords.tcpFd)),
      heldBytes: Number(Atomics.load(this.#words, this.#slot + SlotWords.heldBytes)),
    };
  }

  #find(): number {
    for (let slot = 0; slot < SLOTS * WORDS; slot += WORDS) {
      if (Atomics.load(this.#words, slot + SlotWords.inode) === this.#inode) return slot;
    }
    return -1;
  }
}

/** Of a socket; no two that are open have the same. */
export function inodeOf(fd: number): bigint {
  return fstatSync(fd, { bigint: true }).ino;
}

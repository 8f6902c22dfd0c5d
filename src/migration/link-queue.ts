/**
 * How long a word to the other host may wait behind what was sent before it.
 *
 * Sockets, relays and queues on the way hold what a slow link has not carried yet, and an answer comes only after that. Must
 * hold: a link says how fast it is only while something waits for it all the time; one that carries nothing any more is
 * granted what it was granted before, and one that has carried everything nothing.
 */

/** What may be held on the way. */
const QUEUED_BYTES = 2 ** 20;
const LONGEST_MS = 120_000;
const WINDOW_MS = 5000;
const SHORTEST_WINDOW_MS = 3500;

export interface LinkLook {
  readonly nowMs: number;
  /** By whatever is next on the way. */
  readonly takenBytes: number;
  readonly waitingBytes: number;
}

export class LinkQueue {
  #looks: LinkLook[] = [];
  #ms = 0;

  get ms(): number {
    return this.#ms;
  }

  look(look: LinkLook): void {
    const { nowMs, takenBytes, waitingBytes } = look;
    if (waitingBytes === 0) {
      this.#looks = [];
      return;
    }
    this.#looks = [...this.#looks.filter((earlier) => nowMs - earlier.nowMs <= WINDOW_MS), look];
    const [first, before] = [this.#looks[0]!, this.#looks.at(-2)];
    const passedMs = nowMs - first.nowMs;
    const taken = takenBytes - first.takenBytes;
    // A fast link that has just died would pass for a slow one: what it took at last is little, for so long.
    const goesOn = before !== undefined && takenBytes > before.takenBytes;
    if (goesOn && passedMs >= SHORTEST_WINDOW_MS) this.#ms = Math.min(LONGEST_MS, (QUEUED_BYTES / taken) * passedMs);
  }

  /** The other host has confirmed all that was sent. */
  emptied(): void {
    this.#ms = 0;
    this.#looks = [];
  }
}

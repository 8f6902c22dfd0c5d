/**
 * The samples of contents that a host has told, so that each crosses once and not with every look.
 *
 * Must hold: an answer is completed with what the host left out because it was told before, and only with that; what comes in pieces is asked
 * for piece by piece, smaller ones where one was late and larger ones where they come fast, so that it is all there in the end however slow the way is.
 */
import type { OutlookQuestion, OutlookView } from '../api/outlook-schema.ts';

interface Held {
  readonly version: string;
  readonly contents: string;
}

/** Of one answer: a tenth of a second on 1 Gbit/s. */
const LARGEST_PIECE_BYTES = 16 * 1024 * 1024;
const SMALLEST_PIECE_BYTES = 64 * 1024;
/** Of the piece that was late. */
const SMALLER_PART = 0.25;
/** Of the time for all pieces: twice as large a piece comes in much less than half of it. */
const FAST_PART = 0.125;
/** The same: what did not come by then might not come in all of it either. */
const LATE_PART = 0.5;

export class HeldSamples {
  /** By the VM's UUID. */
  #held: ReadonlyMap<string, Held> = new Map();
  #cursor: string | undefined;
  #pieceBytes = LARGEST_PIECE_BYTES;

  /** What the host is asked for: the next piece of what is not known. */
  get question(): OutlookQuestion {
    return { isBrief: false, contentsAfter: this.#cursor, contentsLimit: this.#pieceBytes };
  }

  /** @param part - of the time for all pieces of one look, until the answer to `question` came */
  cameAfter(part: number): void {
    if (part <= FAST_PART) this.#pieceBytes = Math.min(LARGEST_PIECE_BYTES, this.#pieceBytes * 2);
  }

  /** @param part - of that time, which ended before the answer to `question` came */
  cutOffAfter(part: number): void {
    // One that was asked for near the end says nothing.
    if (part >= LATE_PART) this.#pieceBytes = Math.max(SMALLEST_PIECE_BYTES, this.#pieceBytes * SMALLER_PART);
  }

  /** @param answer - to `question` */
  complete(answer: OutlookView): OutlookView {
    const before = this.#held;
    const held = new Map<string, Held>();
    const isLeft = answer.contentsLeft === true;
    let isWhole = true;
    const vms = answer.vms.map((vm) => {
      const { uuid, contents, contentsVersion: version } = vm;
      // An older host tells all of them each time.
      if (version === undefined || version === null) return vm;
      const known = contents === null ? before.get(uuid) : { version, contents };
      // As long as pieces are to come an older sample serves.
      if (known === undefined || (known.version !== version && !isLeft)) {
        isWhole &&= isLeft;
        return vm;
      }
      held.set(uuid, known);
      return contents === null ? { ...vm, contents: known.contents } : vm;
    });
    this.#held = held;
    // Of an answer that came late something may be missing: everything is asked for anew.
    this.#cursor = isWhole ? answer.contentsCursor : undefined;
    return { ...answer, vms };
  }

  /** @param answer - to a question that was brief */
  fill(answer: OutlookView): OutlookView {
    const vms = answer.vms.map((vm) => ({ ...vm, contents: this.#held.get(vm.uuid)?.contents ?? null }));
    return { ...answer, vms };
  }
}

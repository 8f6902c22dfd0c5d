/**
 * A list of page runs that comes in several frames (missingRuns, stillMissing, missedPages).
 *
 * Owns: joining the parts. Must hold: the whole list is ascending, disjoint and within the guest, so it never has more
 * runs than the guest has pages; every part but the last brings it forward; nothing is taken after the last.
 * Layout of a part: u32 runCount, u8 last (0 | 1), u8[3] 0, runs.
 */
import type { PageRun } from '../base/page.ts';
import { invalidFrame } from './frame-types.ts';
import { RUN_BYTES } from './limits.ts';
import { readU32 } from './little-endian.ts';
import { readRuns } from './run-list.ts';

export type RunListFrame = 'missingRuns' | 'stillMissing' | 'missedPages';

export const RUN_LIST_PART_BYTES = 8;

export class RunListCollector {
  readonly #frame: RunListFrame;
  readonly #pageCount: number;
  readonly #runs: PageRun[] = [];
  #pages = 0;
  #endPage = 0;
  #complete = false;

  constructor(frame: RunListFrame, pageCount: number) {
    this.#frame = frame;
    this.#pageCount = pageCount;
  }

  get runs(): readonly PageRun[] {
    return this.#runs;
  }

  /** Pages in the parts taken so far. */
  get pages(): number {
    return this.#pages;
  }

  get complete(): boolean {
    return this.#complete;
  }

  /** Takes one part; true when it was the last. Throws GW_WIRE_FRAME_INVALID and then keeps nothing of the part. */
  add(payload: Uint8Array): boolean {
    const frame = this.#frame;
    if (this.#complete) throw invalidFrame(frame, 'it comes after the last part');
    const runCount = readU32(payload, 0);
    const flag = readU32(payload, 4);
    if (flag > 1) throw invalidFrame(frame, 'its last-part flag is neither 0 nor 1');
    if (runCount === 0 && flag === 0) throw invalidFrame(frame, 'a part before the last one is empty');
    if (payload.length !== RUN_LIST_PART_BYTES + runCount * RUN_BYTES) {
      throw invalidFrame(frame, `${payload.length} bytes do not fit ${runCount} runs`);
    }
    const list = readRuns(frame, payload, RUN_LIST_PART_BYTES, runCount, {
      pageCount: this.#pageCount,
      fromPage: this.#endPage,
      maxPages: this.#pageCount,
    });
    for (const run of list.runs) this.#runs.push(run);
    this.#pages += list.pages;
    this.#endPage = list.endPage;
    this.#complete = flag === 1;
    return this.#complete;
  }
}

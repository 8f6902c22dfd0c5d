/**
 * What is told of evacuations to whoever watches.
 *
 * Must hold: many changes of one in a moment are told once, as it is then; its end is told at once and is the last; one that another
 * controller carries out is told of as the store has it, to its end, also where the store is silent meanwhile.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { explain, hasCode } from '../base/errors.ts';

export interface EvacuationNewsPort {
  tell(view: EvacuationView): void;
  /** As the store has it. */
  read(id: string): Promise<EvacuationView | undefined>;
  failed(id: string, reason: string): void;
}

/** Nobody who watches sees the difference, and an event bears all VMs of a host. */
const MOMENT_MS = 100;
/** After a store was silent. */
const AGAIN_MS = 1000;
/** Of what has ended its last writes are heard of for a moment. */
const KEPT_ENDED = 100;

export class EvacuationNews implements Disposable {
  readonly #port: EvacuationNewsPort;
  /** By id; null: it is to be read. */
  readonly #waiting = new Map<string, EvacuationView | null>();
  readonly #ended = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(port: EvacuationNewsPort) {
    this.#port = port;
  }

  changed(view: EvacuationView): void {
    this.#waiting.set(view.id, view);
    if (view.endedAtMs !== null) this.#tell(view);
    else this.#tellIn(MOMENT_MS);
  }

  /** That the store has something new of it. */
  heardOf(id: string): void {
    if (this.#ended.has(id)) return;
    this.#waiting.set(id, null);
    this.#tellIn(MOMENT_MS);
  }

  /** What is known is told yet. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const view of this.#waiting.values()) if (view !== null) this.#tell(view);
  }

  #tellIn(ms: number): void {
    if (this.#isOver) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const [id, view] of this.#waiting) {
        if (view === null) void this.#read(id);
        else this.#tell(view);
      }
    }, ms);
  }

  async #read(id: string): Promise<void> {
    this.#waiting.delete(id);
    try {
      const view = await this.#port.read(id);
      // What was told or heard of meanwhile is newer.
      if (view && !this.#waiting.has(id)) this.#tell(view);
    } catch (error) {
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) return this.#port.failed(id, explain(error));
      if (!this.#waiting.has(id)) this.#waiting.set(id, null);
      this.#tellIn(AGAIN_MS);
    }
  }

  #tell(view: EvacuationView): void {
    this.#waiting.delete(view.id);
    if (this.#ended.has(view.id)) return;
    if (view.endedAtMs !== null) {
      this.#ended.add(view.id);
      for (const id of this.#ended) if (this.#ended.size > KEPT_ENDED) this.#ended.delete(id);
    }
    this.#port.tell(view);
  }
}

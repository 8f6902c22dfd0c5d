/**
 * A record of the store that one controller writes, as long as nobody else has written it.
 *
 * Must hold: whoever wrote last has it; one that is not the last learns of it at its next write and writes no more. A
 * store that does not answer is asked again: a write that may or may not have been made is known again by its own mark.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, type JsonValue } from '../base/errors.ts';
import type { FleetStore } from './store.ts';

const AGAIN_MS = 500;

interface Marked {
  readonly value: JsonValue;
  /** Of one write. */
  readonly mark: string;
}

export class OwnedRecord {
  readonly #store: FleetStore;
  readonly #key: string;
  #revision: number | null;
  #isLost = false;
  /** Writes come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param revision - at which it was read; null: it is to be made */
  constructor(store: FleetStore, key: string, revision: number | null) {
    this.#store = store;
    this.#key = key;
    this.#revision = revision;
  }

  /** Whether this was written; false: somebody else has the record. @throws the signal's reason */
  save(value: JsonValue, signal: AbortSignal): Promise<boolean> {
    const saved = this.#last.then(() => this.#save({ value, mark: randomUUID() }, signal));
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  async #save(marked: Marked, signal: AbortSignal): Promise<boolean> {
    while (!this.#isLost) {
      signal.throwIfAborted();
      try {
        const revision = await this.#store.write(this.#key, marked as unknown as JsonValue, this.#revision);
        this.#revision = revision ?? (await this.#foundAgain(marked.mark));
        this.#isLost = this.#revision === null;
        return !this.#isLost;
      } catch (error) {
        if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
        await delay(AGAIN_MS, undefined, { signal });
      }
    }
    return false;
  }

  /** The revision, if it is as an earlier try to write it has left it. */
  async #foundAgain(mark: string): Promise<number | null> {
    const found = await this.#store.read(this.#key);
    return found !== null && (found.value as unknown as Marked).mark === mark ? found.revision : null;
  }
}

/** A record that is yet to be owned. */
export function unowned(value: JsonValue): JsonValue {
  return { value, mark: randomUUID() } satisfies Marked;
}

/** The value of a record that an `OwnedRecord` has written. */
export function recordedValue(stored: JsonValue): JsonValue {
  return (stored as unknown as Marked).value;
}

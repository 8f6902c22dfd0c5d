/**
 * Evacuations as the store has them.
 *
 * Owns: their records below `evacuation.`, the wishes to cancel below `cancel.`, the log of those that have ended. Must hold: one that has
 * ended is in the log before its record goes.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { JsonValue } from '../base/errors.ts';
import { type EvacuationRecord, keyOf } from './evacuation-runner.ts';
import { recordedValue, unowned } from './owned-record.ts';
import type { FleetStore, StoredRecord } from './store.ts';

export interface ReadRecord extends EvacuationRecord {
  readonly revision: number;
}

const JUST_ENDED = 20;

export class EvacuationRecords {
  readonly #store: FleetStore;
  /** Ids of those that are to be cancelled, which a silent store is yet to hear. */
  readonly #unwritten = new Set<string>();

  constructor(store: FleetStore) {
    this.#store = store;
  }

  /** Also those that have ended just now. */
  async all(): Promise<ReadRecord[]> {
    return (await this.#store.list('evacuation')).map(recordOf);
  }

  async open(): Promise<ReadRecord[]> {
    return (await this.all()).filter(({ view }) => view.endedAtMs === null);
  }

  /** Newest first. @param skip - so many that are newer are left out */
  async ended(limit: number, skip = 0): Promise<EvacuationView[]> {
    return (await this.#store.newest('evacuations', limit, skip)) as unknown as EvacuationView[];
  }

  /** How it is, also when it has ended just now: its record has gone then. */
  async find(id: string): Promise<EvacuationView | undefined> {
    const found = await this.#store.read(keyOf(id));
    return found ? recordOf(found).view : (await this.ended(JUST_ENDED)).find((view) => view.id === id);
  }

  async add(view: EvacuationView): Promise<void> {
    const record: EvacuationRecord = { view, memory: null };
    await this.#store.write(keyOf(view.id), unowned(record as unknown as JsonValue), null);
  }

  /** In the log, of one that has ended. */
  async keep(view: EvacuationView): Promise<void> {
    await this.#store.append('evacuations', view.id, view as unknown as JsonValue);
  }

  async remove(id: string): Promise<void> {
    await this.#store.remove(keyOf(id));
    await this.#store.remove(`cancel.${id}`);
  }

  /** One that is to be cancelled already is. */
  async cancel(id: string): Promise<void> {
    await this.#store.write(`cancel.${id}`, { atMs: Date.now() }, null);
  }

  /** As `cancel`, when the store answers again: see `writeWishes`. */
  cancelLater(id: string): void {
    this.#unwritten.add(id);
  }

  async writeWishes(): Promise<void> {
    for (const id of this.#unwritten) {
      if ((await this.find(id))?.endedAtMs === null) await this.cancel(id);
      this.#unwritten.delete(id);
    }
  }

  /** Ids of those that are to be cancelled. */
  async cancelled(): Promise<ReadonlySet<string>> {
    return new Set((await this.#store.list('cancel')).map(({ key }) => key.slice('cancel.'.length)));
  }

  /** @param changed - by whomever @param cancelled - one is to be, or is no more */
  watch(changed: (id: string) => void, cancelled: () => void): Disposable[] {
    return [
      this.#store.watch('cancel', cancelled),
      this.#store.watch('evacuation', (key) => changed(key.slice(keyOf('').length))),
    ];
  }
}

function recordOf({ value, revision }: StoredRecord): ReadRecord {
  return { ...(recordedValue(value) as unknown as EvacuationRecord), revision };
}

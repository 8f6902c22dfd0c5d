/**
 * Where a controller keeps what outlives it: records that are written by compare-and-set, and logs of bounded length.
 *
 * Owns: the port. Must hold: a record is written only at the revision that its writer has seen, so that of two writers one
 * learns that it was not first; what was written is there after any end of controller and store; a store that does not
 * answer is GW_STORE_UNAVAILABLE, and whether the last write was made is then not known (see owned-record.ts).
 */
import { GodwitError, type JsonValue } from '../base/errors.ts';

export interface StoredRecord {
  readonly key: string;
  readonly value: JsonValue;
  /** Grows with each write of this record. */
  readonly revision: number;
}

export type LogName = 'migrations' | 'evacuations';

/** Of each log so many of the newest are kept. */
export const KEPT_LOG_ITEMS = 10_000;

export interface FleetStore extends AsyncDisposable {
  readonly kind: 'sqlite' | 'nats';
  /** Whether other controllers can have it at the same time. */
  readonly isShared: boolean;
  read(key: string): Promise<StoredRecord | null>;
  /** All whose key begins with it and a dot, by key. */
  list(prefix: string): Promise<StoredRecord[]>;
  /**
   * The new revision; null: the record is not at that revision any more.
   *
   * @param revision - null: there is no such record yet
   */
  write(key: string, value: JsonValue, revision: number | null): Promise<number | null>;
  remove(key: string): Promise<void>;
  /** At each write and removal below the prefix, by whomever, some time after it. */
  watch(prefix: string, changed: (key: string) => void): Disposable;
  /** Nothing happens if the log has one of this id. */
  append(log: LogName, id: string, item: JsonValue): Promise<void>;
  /** Newest first. @param skip - so many that are newer are left out, by default none */
  newest(log: LogName, limit: number, skip?: number): Promise<JsonValue[]>;
}

/** What it says; where it does not answer, what there is instead. */
export async function unlessSilent<T>(asked: Promise<T>, instead: (silence: GodwitError) => T): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof GodwitError) || error.code !== 'GW_STORE_UNAVAILABLE') throw error;
    return instead(error);
  }
}

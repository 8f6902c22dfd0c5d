/**
 * Reading a log of NATS to its end.
 *
 * Must hold: what is told is whole. A pull ends without a word when its time is over, wherever it has come to: what was not reached then is
 * asked for again, and a pull that brings nothing is a store that does not answer.
 */

/** A message of the log, as the client has it. */
export interface LogMessage {
  /** In the log. */
  readonly seq: number;
  readonly data: Uint8Array;
  /** `pending`: so many come after it. */
  readonly info: { readonly pending: number };
}

/** A pull of the next messages, so many at most. */
export type Pull = (messages: number) => Promise<AsyncIterable<LogMessage>>;

/** Of at most a megabyte each (nats-value.ts): so much comes within a request's time over slow links as well. */
const PULLED_MESSAGES = 32;

/**
 * All items from where `pull` begins, oldest first.
 *
 * @param lastSeq - of the last one that is wanted
 * @param count - of them, at most: some may have been removed
 */
export async function readLog(pull: Pull, lastSeq: number, count: number): Promise<Uint8Array[]> {
  const items: Uint8Array[] = [];
  while (items.length < count) {
    const before = items.length;
    for await (const { seq, data, info } of await pull(Math.min(PULLED_MESSAGES, count - before))) {
      items.push(data);
      if (seq >= lastSeq || info.pending === 0) return items;
    }
    if (items.length === before) throw new Error(`its log told ${before} of ${count} items, and then nothing more`);
  }
  return items;
}

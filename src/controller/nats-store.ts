/**
 * The store in NATS JetStream, for any number of controllers.
 *
 * Owns: the connection, a key-value bucket for records, a stream for each log. Must hold: a server that is restarted, or changes
 * its leader, is waited for by nobody here: what is asked meanwhile fails as GW_STORE_UNAVAILABLE, and whoever asks decides;
 * watches go on by themselves. Written for server 2.9: no time to live of single keys, whose expiry nobody would be told of.
 */

import { setTimeout as delay } from 'node:timers/promises';
import {
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  StorageType,
} from '@nats-io/jetstream';
import { type KV, Kvm, KvWatchInclude } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import type { JsonValue } from '../base/errors.ts';
import { connectNats } from '../nats/connect-nats.ts';
import { Heartbeats } from '../nats/heartbeats.ts';
import type { NatsAccess } from '../nats/nats-access.ts';
import { AGAIN_MS, guard, isConflict, patiently } from '../nats/nats-answers.ts';
import { decodeValue, encodeValue } from '../nats/nats-value.ts';
import type { SigningKey } from '../nats/signed-words.ts';
import { type Pull, readLog } from './nats-log.ts';
import { type FleetStore, KEPT_LOG_ITEMS, type LogName, type StoredRecord } from './store.ts';

export interface NatsOptions extends NatsAccess {
  /** 1, 3 or 5. */
  readonly replicas: number;
}

/** A request that takes longer is one to a server that has gone. */
const REQUEST_MS = 3_000;
/** Marks of what was removed are forgotten after so many more, those older than what any watch is behind. */
const FORGET_EVERY = 100;
const REMEMBERED_MS = 600_000;
/** Of each log, on disk: thousands of the largest evacuations. */
const KEPT_LOG_BYTES = 256 * 1024 * 1024;
const LOGS: readonly LogName[] = ['migrations', 'evacuations'];

export class NatsStore implements FleetStore {
  readonly kind = 'nats';
  readonly isShared = true;
  readonly #connection: NatsConnection;
  readonly #bucket: KV;
  readonly #streams: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #prefix: string;
  #removed = 0;

  private constructor(
    connection: NatsConnection,
    parts: { bucket: KV; streams: JetStreamClient; manager: JetStreamManager },
    prefix: string,
  ) {
    this.#connection = connection;
    this.#bucket = parts.bucket;
    this.#streams = parts.streams;
    this.#manager = parts.manager;
    this.#prefix = prefix;
  }

  /** @throws GW_STORE_UNAVAILABLE */
  static async open(options: NatsOptions): Promise<NatsStore> {
    const { replicas, prefix } = options;
    const connection = await connectNats(options, 'godwit controller');
    try {
      const parts = await patiently(async () => {
        const manager = await jetstreamManager(connection, { timeout: REQUEST_MS });
        const streams = jetstream(connection, { timeout: REQUEST_MS });
        const bucket = await new Kvm(streams).create(prefix, { history: 1, replicas, timeout: REQUEST_MS });
        for (const log of LOGS) {
          const name = `${prefix}-${log}`;
          await manager.streams
            .add({
              name,
              subjects: [`${prefix}.log.${log}.>`],
              max_msgs: KEPT_LOG_ITEMS,
              max_bytes: KEPT_LOG_BYTES,
              discard: DiscardPolicy.Old,
              storage: StorageType.File,
              num_replicas: replicas,
            })
            .catch(async (error: unknown) => {
              // One that there is, perhaps with limits that its owner has changed, is taken as it is.
              await manager.streams.info(name).catch(() => {
                throw error;
              });
            });
        }
        return { manager, streams, bucket };
      });
      return new NatsStore(connection, parts, prefix);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** What hosts say beside the store. */
  heartbeats(key: SigningKey): Heartbeats {
    return new Heartbeats(this.#connection, this.#prefix, key);
  }

  async read(key: string): Promise<StoredRecord | null> {
    const entry = await guard(this.#bucket.get(key));
    return entry?.operation === 'PUT' ? { key, value: decodeValue(entry.value), revision: entry.revision } : null;
  }

  async list(prefix: string): Promise<StoredRecord[]> {
    const keys = await guard(this.#keys(`${prefix}.>`));
    const found = await Promise.all(keys.sort().map((key) => this.read(key)));
    return found.filter((record) => record !== null);
  }

  async write(key: string, value: JsonValue, revision: number | null): Promise<number | null> {
    const bytes = encodeValue(value);
    try {
      return await guard(
        revision === null ? this.#bucket.create(key, bytes) : this.#bucket.update(key, bytes, revision, REQUEST_MS),
      );
    } catch (error) {
      if (isConflict(error)) return null;
      throw error;
    }
  }

  async remove(key: string): Promise<void> {
    await guard(this.#bucket.delete(key));
    if (++this.#removed % FORGET_EVERY === 0) void this.forgetRemoved(REMEMBERED_MS).catch(() => undefined);
  }

  /**
   * Of what was removed the bucket keeps a mark, for whoever watches; all of them are gone through by each list.
   *
   * @returns how many marks there are no more. Public for tests, which have no time
   */
  async forgetRemoved(olderThanMs: number): Promise<number> {
    const beforeMs = Date.now() - olderThanMs;
    let forgotten = 0;
    for (const { key, revision } of await guard(this.#marks(beforeMs))) {
      // Up to the mark only: the key may have been made again meanwhile.
      const purge = { filter: `$KV.${this.#prefix}.${key}`, seq: revision + 1 };
      forgotten += (await guard(this.#manager.streams.purge(`KV_${this.#prefix}`, purge))).purged;
    }
    return forgotten;
  }

  watch(prefix: string, changed: (key: string) => void): Disposable {
    let isOver = false;
    let stop = (): void => undefined;
    const follow = async (): Promise<void> => {
      while (!isOver && !this.#connection.isClosed()) {
        try {
          const entries = await this.#bucket.watch({ key: `${prefix}.>`, include: KvWatchInclude.UpdatesOnly });
          stop = () => entries.stop();
          if (isOver) stop();
          for await (const { key } of entries) changed(key);
        } catch (error) {
          if (!isOver && !this.#connection.isClosed()) process.emitWarning(`A watch of NATS is begun anew: ${error}`);
        }
        await delay(AGAIN_MS, undefined, { ref: false });
      }
    };
    void follow();
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        stop();
      },
    };
  }

  async append(log: LogName, id: string, item: JsonValue): Promise<void> {
    try {
      const expect = { lastSubjectSequence: 0 };
      await guard(
        this.#streams.publish(`${this.#prefix}.log.${log}.${id}`, encodeValue(item), {
          expect,
          timeout: REQUEST_MS,
        }),
      );
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  async newest(log: LogName, limit: number, skip = 0): Promise<JsonValue[]> {
    const name = `${this.#prefix}-${log}`;
    return await guard(this.#newest(name, limit, skip));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  async #newest(name: string, limit: number, skip: number): Promise<JsonValue[]> {
    const { state } = await this.#manager.streams.info(name);
    const last = state.last_seq - skip;
    if (state.messages === 0 || last < state.first_seq) return [];
    const first = Math.max(state.first_seq, last - limit + 1);
    const consumer = await this.#streams.consumers.get(name, {
      opt_start_seq: first,
      deliver_policy: 'by_start_sequence',
    });
    const pull: Pull = (messages) => consumer.fetch({ max_messages: messages, expires: REQUEST_MS });
    const items = await readLog(pull, last, last - first + 1);
    return items.reverse().map(decodeValue);
  }

  async #marks(beforeMs: number): Promise<{ readonly key: string; readonly revision: number }[]> {
    const found: { key: string; revision: number }[] = [];
    for await (const { key, operation, created, revision } of await this.#bucket.history()) {
      if (operation !== 'PUT' && created.getTime() <= beforeMs) found.push({ key, revision });
    }
    return found;
  }

  async #keys(filter: string): Promise<string[]> {
    const keys: string[] = [];
    const listed = await this.#bucket.keys(filter);
    // One whose server is restarted meanwhile never ends.
    const late = setTimeout(() => listed.stop(new Error('the list of keys has not ended')), REQUEST_MS);
    try {
      for await (const key of listed) keys.push(key);
    } finally {
      clearTimeout(late);
    }
    return keys;
  }
}

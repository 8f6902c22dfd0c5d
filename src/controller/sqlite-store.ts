/** https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;

/**
 * The store in a file of this machine, for one controller.
 *
 * Owns: the database. Must hold: nobody else has it open (the kernel takes the lock back from a process that is killed, so
 * the next one can begin at once); what was written is on disk.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type ErrorDetails, GodwitError, type JsonValue } from '../base/errors.ts';
import { type FleetStore, KEPT_LOG_ITEMS, type LogName, type StoredRecord } from './store.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS logs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT NOT NULL, id TEXT NOT NULL, item TEXT NOT NULL, UNIQUE (log, id)
  ) STRICT;
`;

interface Row {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

export class SqliteStore implements FleetStore {
  readonly kind = 'sqlite';
  readonly isShared = false;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #watchers = new Set<{ readonly prefix: string; readonly changed: (key: string) => void }>();

  /** @param path - `:memory:` for one that ends with the process @throws GW_HOST_START */
  constructor(path: string) {
    try {
      this.#database = new DatabaseSync(path);
      // Taken with the first write, and kept.
      this.#database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      this.#database.exec(SCHEMA);
    } catch (cause) {
      const { errcode, message: why } = cause as { readonly errcode?: number; readonly message: string };
      const reason =
        errcode === SQLITE_BUSY
          ? `another controller has ${path}`
          : `cannot use ${path} (${why}): give another directory by --state, or move the file away, which forgets evacuations and marks`;
      throw new GodwitError('GW_HOST_START', { reason }, { cause });
    }
  }

  async read(key: string): Promise<StoredRecord | null> {
    const row = this.#one('SELECT key, value, revision FROM records WHERE key = ?', key);
    return row ? recordOf(row) : null;
  }

  async list(prefix: string): Promise<StoredRecord[]> {
    const rows = this.#all('SELECT key, value, revision FROM records WHERE key GLOB ? ORDER BY key', `${prefix}.*`);
    return (rows as unknown as Row[]).map(recordOf);
  }

  async write(key: string, value: JsonValue, revision: number | null): Promise<number | null> {
    const text = JSON.stringify(value);
    const changes =
      revision === null
        ? this.#run('INSERT INTO records VALUES (?, ?, 1) ON CONFLICT DO NOTHING', key, text)
        : this.#run(
            'UPDATE records SET value = ?, revision = revision + 1 WHERE key = ? AND revision = ?',
            text,
            key,
            revision,
          );
    if (changes === 0) return null;
    this.#tell(key);
    return (revision ?? 0) + 1;
  }

  async remove(key: string): Promise<void> {
    if (this.#run('DELETE FROM records WHERE key = ?', key) > 0) this.#tell(key);
  }

  watch(prefix: string, changed: (key: string) => void): Disposable {
    const watcher = { prefix: `${prefix}.`, changed };
    this.#watchers.add(watcher);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  async append(log: LogName, id: string, item: JsonValue): Promise<void> {
    const added = this.#run(
      'INSERT OR IGNORE INTO logs (log, id, item) VALUES (?, ?, ?)',
      log,
      id,
      JSON.stringify(item),
    );
    if (added === 0) return;
    this.#run(
      'DELETE FROM logs WHERE log = ? AND number <= (SELECT number FROM logs WHERE log = ? ORDER BY number DESC LIMIT 1 OFFSET ?)',
      log,
      log,
      KEPT_LOG_ITEMS,
    );
  }

  async newest(log: LogName, limit: number, skip = 0): Promise<JsonValue[]> {
    const sql = 'SELECT item FROM logs WHERE log = ? ORDER BY number DESC LIMIT ? OFFSET ?';
    const rows = this.#all(sql, log, limit, skip);
    return rows.map(({ item }) => JSON.parse(item as string) as JsonValue);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #tell(key: string): void {
    for (const { prefix, changed } of this.#watchers) if (key.startsWith(prefix)) setImmediate(changed, key);
  }

  #one(sql: string, ...values: (string | number)[]): Row | undefined {
    return this.#guard(() => this.#prepared(sql).get(...values) as unknown as Row | undefined);
  }

  #all(sql: string, ...values: (string | number)[]): Record<string, unknown>[] {
    return this.#guard(() => this.#prepared(sql).all(...values));
  }

  #run(sql: string, ...values: (string | number)[]): number {
    return this.#guard(() => Number(this.#prepared(sql).run(...values).changes));
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** A full disk, above all. */
  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (cause) {
      const details: ErrorDetails = { store: 'SQLite', reason: (cause as Error).message };
      throw new GodwitError('GW_STORE_UNAVAILABLE', details, { cause });
    }
  }
}

function recordOf({ key, value, revision }: Row): StoredRecord {
  return { key, value: JSON.parse(value) as JsonValue, revision };
}

/**
 * Which hosts of a fleet are new.
 *
 * Owns: the records below `known.`. Must hold: at the very first look no host of the fleet file is new, whether it answers or not; one
 * that is named in the file later is new until it was filled, whichever controller leads by then, and however often in between.
 */
import type { Seen } from './fleet-look.ts';
import type { FleetStore, StoredRecord } from './store.ts';

interface KnownHost {
  readonly sinceMs: number;
  /** Records of earlier versions do not say it. */
  readonly isFilled?: boolean;
}

export class KnownHosts {
  readonly #store: FleetStore;
  /** Whether nobody has looked before; null: it is not known. It stays so where the store falls silent in between. */
  #isFirst: boolean | null = null;
  /** Names of hosts that are not new any more. */
  readonly #filled = new Set<string>();

  constructor(store: FleetStore) {
    this.#store = store;
  }

  /** Hosts that answer and are yet to be filled. */
  async newHosts({ answers, file, atMs }: Pick<Seen, 'answers' | 'file' | 'atMs'>): Promise<string[]> {
    await this.#learn();
    if (this.#isFirst) {
      for (const { name } of file.hosts) await this.#write(name, { sinceMs: atMs, isFilled: true });
      this.#isFirst = false;
    }
    const fresh: string[] = [];
    for (const answer of answers) {
      if ('outlook' in answer && (await this.#isNew(answer.name, atMs))) fresh.push(answer.name);
    }
    return fresh;
  }

  /** It is new no more. */
  async filled(host: string): Promise<void> {
    const found = await this.#store.read(keyOf(host));
    const { sinceMs = Date.now() } = (found?.value ?? {}) as Partial<KnownHost>;
    await this.#write(host, { sinceMs, isFilled: true }, found?.revision);
    this.#filled.add(host);
  }

  async #learn(): Promise<void> {
    if (this.#isFirst !== null) return;
    const known = await this.#store.list('known');
    this.#isFirst = known.length === 0;
    for (const record of known) if (isFilled(record)) this.#filled.add(record.key.slice(keyOf('').length));
  }

  async #isNew(host: string, atMs: number): Promise<boolean> {
    if (this.#filled.has(host)) return false;
    // Another controller may have filled it meanwhile.
    const found = await this.#store.read(keyOf(host));
    if (found === null) await this.#write(host, { sinceMs: atMs, isFilled: false });
    else if (isFilled(found)) this.#filled.add(host);
    return !this.#filled.has(host);
  }

  async #write(host: string, known: KnownHost, revision: number | null = null): Promise<void> {
    // Whoever else writes it at the same time says the same of it.
    await this.#store.write(keyOf(host), { ...known }, revision);
  }
}

function isFilled({ value }: StoredRecord): boolean {
  return (value as unknown as KnownHost).isFilled !== false;
}

function keyOf(host: string): string {
  return `known.${host}`;
}

/**
 * What VMs that leave this host have sent lately, by content: where the other host has it, or will have it in a moment.
 *
 * Owns: a table in memory that every thread of the daemon sees, from a page's hash to the page that was sent and the
 * migration that sent it. Must hold: it is only a hint, because threads write it without waiting for each other: whoever is
 * told a place names it with a fingerprint, by which the other host tells whether the page is there. Its size does not
 * depend on how much is sent: what was sent long ago makes room. Its hash has a secret seed (line-hash.ts) of this daemon.
 */
import { hash } from 'node:crypto';
import { MIGRATION_NAME_BYTES } from '../wire/limits.ts';

/** The page of another VM, or of the same one, that has the same contents. */
export interface SentPlace {
  /** The beginning of the id of the migration that sent it. */
  readonly migration: Uint8Array;
  readonly page: number;
}

/** Plain data, so that it can be posted. */
export interface SentContentsShared {
  readonly buffer: SharedArrayBuffer;
  /** Of the migration that sends. */
  readonly serial: number;
  /** Of the host that it sends to. */
  readonly toTag: number;
}

/** Contents that are known: 4 GiB of pages that are all different, with 12 MiB that are taken as they are used. */
const ENTRIES = 2 ** 20;
/** An entry is in one of these after each other. */
const WAYS = 4;
/** Hash, migration, page. */
const ENTRY_WORDS = 3;
/** Migrations whose pages are known, the last ones. */
const SENDERS = 256;
/** Serial, when it ended, name. */
const SENDER_WORDS = 4;
const BEING_SENT = 0;
const GONE = -1;
/** By then the other host knows by itself what is in the VM, and says so; and the guest has changed it. */
const KEPT_SECONDS = 600;

const SEED_AT = 0;
const SERIAL_AT = 2;
const SENDERS_AT = 4;
const ENTRIES_AT = SENDERS_AT + SENDERS * SENDER_WORDS;

export class SentContents {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #serial: number;
  readonly #toTag: number;

  constructor({ buffer, serial, toTag }: SentContentsShared) {
    this.#words = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#serial = serial;
    this.#toTag = toTag;
  }

  /** Of a daemon, with nothing in it. */
  static create(): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(4 * (ENTRIES_AT + ENTRIES * ENTRY_WORDS));
    new Int32Array(buffer).set(crypto.getRandomValues(new Int32Array(2)), SEED_AT);
    return buffer;
  }

  /** Two words: what hashes of pages are made with that are looked up here. */
  static seedOf(buffer: SharedArrayBuffer): Int32Array {
    return new Int32Array(buffer).slice(SEED_AT, SEED_AT + 2);
  }

  /** A migration begins to send to a host. @param id - a UUID */
  static enter(buffer: SharedArrayBuffer, id: string, to: string): SentContentsShared {
    const words = new Int32Array(buffer);
    const serial = Atomics.add(words, SERIAL_AT, 1) + 1;
    const at = senderAt(serial);
    words[at] = 0;
    words[at + 1] = BEING_SENT;
    new Uint8Array(buffer).set(migrationName(id), 4 * (at + 2));
    Atomics.store(words, at, serial);
    return { buffer, serial, toTag: hash('sha256', to, 'buffer').readInt32LE(0) };
  }

  /** The migration has ended. @param hasArrived - the other host has the VM */
  static leave({ buffer, serial }: SentContentsShared, hasArrived: boolean): void {
    const words = new Int32Array(buffer);
    const at = senderAt(serial);
    if (Atomics.load(words, at) === serial) words[at + 1] = hasArrived ? nowSeconds() : GONE;
  }

  /**
   * Where the other host has, or will have, contents with this hash; if it is not known, `page` will be the place.
   * @returns undefined: the page is to be sent; otherwise valid until the next call
   */
  findOrClaim(hash: Int32Array, page: number): SentPlace | undefined {
    const bucket = this.#bucketOf(hash);
    const at = this.#entryOf(bucket, hash);
    if (at === undefined) {
      this.#write(this.#room(bucket, page), hash, page);
      return undefined;
    }
    const serial = this.#words[at + 1]!;
    const found = this.#words[at + 2]!;
    // It was there before, and something else has come since.
    if (serial === this.#serial && found === page) return undefined;
    const name = 4 * (senderAt(serial) + 2);
    return { migration: this.#bytes.subarray(name, name + MIGRATION_NAME_BYTES), page: found };
  }

  /** These contents are in `page` from now on, whatever was known. */
  claim(hash: Int32Array, page: number): void {
    const bucket = this.#bucketOf(hash);
    this.#write(this.#entryOf(bucket, hash) ?? this.#room(bucket, page), hash, page);
  }

  #bucketOf(hash: Int32Array): number {
    return ENTRIES_AT + (((hash[0]! ^ this.#toTag) >>> 0) % (ENTRIES / WAYS)) * WAYS * ENTRY_WORDS;
  }

  /** The entry with this hash that still says something. */
  #entryOf(bucket: number, hash: Int32Array): number | undefined {
    for (let at = bucket; at < bucket + WAYS * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (this.#words[at] === hash[1] && this.#isKnown(this.#words[at + 1]!)) return at;
    }
    return undefined;
  }

  /** An entry that says nothing, or one of the others. */
  #room(bucket: number, page: number): number {
    for (let at = bucket; at < bucket + WAYS * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (!this.#isKnown(this.#words[at + 1]!)) return at;
    }
    return bucket + (page % WAYS) * ENTRY_WORDS;
  }

  #write(at: number, hash: Int32Array, page: number): void {
    this.#words[at] = hash[1]!;
    this.#words[at + 1] = this.#serial;
    this.#words[at + 2] = page;
  }

  /** What that migration has sent may be there. */
  #isKnown(serial: number): boolean {
    const at = senderAt(serial);
    if (serial === 0 || this.#words[at] !== serial) return false;
    const ended = this.#words[at + 1]!;
    return ended === BEING_SENT || (ended !== GONE && nowSeconds() - ended < KEPT_SECONDS);
  }
}

/** What a migration is called where a page is named. @param id - a UUID */
export function migrationName(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex').subarray(0, MIGRATION_NAME_BYTES);
}

function senderAt(serial: number): number {
  return SENDERS_AT + (serial % SENDERS) * SENDER_WORDS;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

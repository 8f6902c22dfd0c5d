/**
 * What hosts say of themselves over NATS, and how it is known to be theirs.
 *
 * Owns: the form of a host's record and of its beats, and their signature (HMAC-SHA256, RFC 2104) under a key that is derived from the
 * fleet's. Must hold: what bears no right signature is not acted on, whoever may write to NATS; a signature is of one kind of word
 * and of all that it says, so that it cannot be used for another name or address; a beat that answers a call bears the call's own
 * nonce, which nobody can have recorded before.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { isApiAddress, parseHostPort } from '../api/listen.ts';
import { NameSchema } from '../api/vm-schema.ts';
import type { JsonValue } from '../base/errors.ts';

const HEX = /^[0-9a-f]{64}$/;
/** A URL's host has at most 253 characters. */
const ADDRESS_CHARACTERS = 300;

const RegistrationSchema = z.object({
  name: NameSchema,
  api: z.string().max(ADDRESS_CHARACTERS).refine(isApiAddress),
  migration: z.string().max(ADDRESS_CHARACTERS).refine(isHostPort),
  daemonId: z.uuid(),
  version: z.string().max(100),
  sinceMs: z.number(),
  endedAtMs: z.number().nullable(),
  mac: z.string().regex(HEX),
});

const BeatSchema = z.object({
  name: NameSchema,
  daemonId: z.uuid(),
  n: z.int().min(0),
  nonce: z.string().regex(HEX).nullable(),
  mac: z.string().regex(HEX),
});

/** A host, as its daemon has written it down. */
export interface Registration {
  readonly name: string;
  /** Where controllers reach its API. */
  readonly api: string;
  /** HOST:PORT at which other hosts reach its migration port. */
  readonly migration: string;
  /** Of the process: no two are alike. */
  readonly daemonId: string;
  readonly version: string;
  /** When this daemon began, Unix milliseconds. */
  readonly sinceMs: number;
  /** When it was ended by its service manager; null: it was not. */
  readonly endedAtMs: number | null;
}

/** That a daemon lives. */
export interface Beat {
  readonly name: string;
  readonly daemonId: string;
  /** Grows with each. */
  readonly n: number;
  /** Of the call that it answers; null: it was not called. */
  readonly nonce: string | null;
}

export class SigningKey {
  readonly #key: string;

  /** @param fleetKey - of the fleet's key file, hexadecimal */
  constructor(fleetKey: string) {
    this.#key = hash('sha256', `godwit fleet registration\n${fleetKey}`);
  }

  signRegistration(registration: Registration): JsonValue {
    return { ...registration, mac: this.#mac(wordsOf(registration)) };
  }

  /**
   * @param name - whose record it is
   * @returns undefined: it bears no signature of this fleet, of that name
   */
  readRegistration(name: string, value: unknown): Registration | undefined {
    const { success, data } = RegistrationSchema.safeParse(value);
    if (!success || data.name !== name) return undefined;
    const { mac, ...registration } = data;
    return this.#isRight(mac, wordsOf(registration)) ? registration : undefined;
  }

  signBeat(beat: Beat): JsonValue {
    return { ...beat, mac: this.#mac(wordsOfBeat(beat)) };
  }

  /** undefined: it is none of this fleet. */
  readBeat(value: unknown): Beat | undefined {
    const { success, data } = BeatSchema.safeParse(value);
    if (!success) return undefined;
    const { mac, ...beat } = data;
    return this.#isRight(mac, wordsOfBeat(beat)) ? beat : undefined;
  }

  #isRight(mac: string, words: readonly JsonValue[]): boolean {
    return timingSafeEqual(Buffer.from(mac, 'hex'), Buffer.from(this.#mac(words), 'hex'));
  }

  #mac(words: readonly JsonValue[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(words)).digest('hex');
  }
}

function wordsOf(registration: Registration): JsonValue[] {
  const { name, api, migration, daemonId, version, sinceMs, endedAtMs } = registration;
  return ['registration', name, api, migration, daemonId, version, sinceMs, endedAtMs];
}

function wordsOfBeat({ name, daemonId, n, nonce }: Beat): JsonValue[] {
  return ['beat', name, daemonId, n, nonce];
}

function isHostPort(text: string): boolean {
  try {
    return parseHostPort(text, 'migration').port > 0;
  } catch {
    return false;
  }
}

/**
 * The kinds of value that control messages are made of, each with its bound.
 *
 * Owns: bounded texts, names, numbers, digests, errors and free-form JSON.
 * Must hold: no text that may be printed carries control characters (a terminal would obey them); a VM's name can be
 * part of a file name; free-form JSON is shallow, small, and has no `__proto__` key.
 */
import { z } from 'zod';
import { asGodwitError, type ErrorBody, type ErrorDetails } from '../base/errors.ts';
import {
  MAX_DIGEST_CHUNKS,
  MAX_JSON_DEPTH,
  MAX_JSON_VALUES,
  MAX_NAME_LENGTH,
  MAX_TEXT_LENGTH,
  MAX_TIMINGS,
  MAX_WORD_LENGTH,
} from './limits.ts';

/** Every control character but tab and line feed; tools quote QEMU's own words, which have lines. */
const UNPRINTABLE = /[^\P{Cc}\t\n]/u;

export const text = (maxLength: number): z.ZodString =>
  z
    .string()
    .max(maxLength)
    .refine((value) => !UNPRINTABLE.test(value), 'has control characters');

/** A short text that is not empty: a host, a version, a machine type. */
export const word: z.ZodString = text(MAX_WORD_LENGTH).min(1);

/** The name of a VM: it becomes part of file names on the destination. */
export const vmName: z.ZodString = z
  .string()
  .max(MAX_NAME_LENGTH)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'is not a VM name');

/** For QEMU, not for people: anything but NUL, which no argument or path can hold. */
export const argument = (maxLength: number): z.ZodString =>
  z
    .string()
    .max(maxLength)
    .refine((value) => !value.includes('\0'), 'has a NUL character');

export const uuid: z.ZodString = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'is not a UUID');

export const sessionKey: z.ZodString = z.string().regex(/^[0-9a-f]{64}$/, 'is not 32 bytes in hexadecimal');

export const count: z.ZodInt = z.int().min(0);

/** Unix time in milliseconds, up to the year 5138; fractions allowed. */
export const wallMs: z.ZodNumber = z.number().min(0).max(1e14);

/** A duration of up to a year. */
export const durationMs: z.ZodNumber = z
  .number()
  .min(0)
  .max(366 * 86_400_000);

/** Named durations in milliseconds. */
export const timings: z.ZodType<Readonly<Record<string, number>>> = z
  .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9]{0,39}$/), durationMs)
  .refine((value) => Object.keys(value).length <= MAX_TIMINGS, `has more than ${MAX_TIMINGS} entries`);

export const jsonRecord: z.ZodType<ErrorDetails> = z.custom<ErrorDetails>(
  isBoundedRecord,
  `is not an object of at most ${MAX_JSON_VALUES} values and ${MAX_JSON_DEPTH} levels`,
);

export const errorBody: z.ZodType<WireError> = z.strictObject({
  code: z.string().regex(/^GW_[A-Z0-9_]{1,60}$/, 'is not an error code'),
  message: text(MAX_TEXT_LENGTH),
  details: jsonRecord,
});

export const digestScheme: z.ZodEnum<{ 'xxh3-128': 'xxh3-128'; sha256: 'sha256' }> = z.enum(['xxh3-128', 'sha256']);

/** Of what a schema makes. */
export type Immutable<T> = T extends readonly (infer E)[]
  ? readonly Immutable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;

const digestText = z.string().regex(/^([0-9a-f]{32}|[0-9a-f]{64})$/, 'is not a digest in hexadecimal');

/** A digest of all guest memory; `chunks` (one for every 64 MiB) tell where two digests differ, and may be left out. */
export const memoryDigest = z.strictObject({
  scheme: digestScheme,
  pages: count,
  digest: digestText,
  chunks: z.array(digestText).max(MAX_DIGEST_CHUNKS),
});

export type DigestScheme = z.infer<typeof digestScheme>;

/** An error that crosses the wire; a newer peer may know codes that we do not (see `GodwitError.fromBody`). */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** Any error in a form that the peer accepts: control characters become spaces, what is too long is cut. */
export function toWireError(thrown: unknown): ErrorBody {
  const { code, message, details } = asGodwitError(thrown).toBody();
  const printable = message.replace(new RegExp(UNPRINTABLE, 'gu'), ' ');
  return {
    code,
    message: printable.length > MAX_TEXT_LENGTH ? `${printable.slice(0, MAX_TEXT_LENGTH - 1)}…` : printable,
    details: isBoundedRecord(details) && JSON.stringify(details).length <= MAX_TEXT_LENGTH ? details : {},
  };
}

function isBoundedRecord(value: unknown): value is ErrorDetails {
  const budget = { values: MAX_JSON_VALUES };
  return typeof value === 'object' && value !== null && !Array.isArray(value) && isBounded(value, 1, budget);
}

function isBounded(value: unknown, depth: number, budget: { values: number }): boolean {
  if (--budget.values < 0 || depth > MAX_JSON_DEPTH) return false;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      if (value === null) return true;
      if (Object.hasOwn(value, '__proto__')) return false;
      return Object.values(value).every((inner) => isBounded(inner, depth + 1, budget));
    default:
      return false;
  }
}

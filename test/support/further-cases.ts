/**
 * Tables of cases that are too many for `npm test`, or for `npm run check`, which is run before each commit: it runs those
 * that show most, and `npm run test:soak`, or `npm test`, all of them.
 */

import { test } from 'vitest';

const IS_SOAK = process.env['GODWIT_SOAK'] === '1';
const IS_CHECK = process.env['GODWIT_CHECK'] === '1';

/** @param further - each takes seconds, and fails only where one of the usual ones does, as far as anybody knows */
export function withFurther<T>(usual: readonly T[], further: readonly T[]): readonly T[] {
  return IS_SOAK ? [...usual, ...further] : usual;
}

type Body = () => Promise<void> | void;

/** A test of the same kind as others of its file. */
export function furtherTest(name: string, ...rest: [body: Body] | [options: { timeout: number }, body: Body]): void {
  if (!IS_SOAK) return;
  if (rest.length === 1) test(name, rest[0]);
  else test(name, ...rest);
}

/**
 * Of a migration for which the number of its connections does not matter: each has a thread at both hosts, which take a quarter
 * of a second of CPU time to start. In the soak there are as many as there would be.
 */
export const FEW_CONNECTIONS: { readonly connections?: number } = IS_SOAK ? {} : { connections: 1 };

/** How often something is tried that comes out otherwise each time. */
export function times(usual: number, inSoak: number): number {
  return IS_SOAK ? inSoak : usual;
}

/** @param larger - explorations that take a second or more each, which `npm run check` leaves to `npm test` */
export function withLarger<T>(usual: readonly T[], larger: readonly T[]): readonly T[] {
  return IS_CHECK ? usual : [...usual, ...larger];
}

/** A test of a second or more, of what time itself does or of very many things, which `npm run check` leaves to `npm test`. */
export function largerTest(name: string, body: Body): void {
  if (!IS_CHECK) test(name, body);
}

/** For how long, or how often, a test tries whatever comes: its part of what it is given in `npm test`. */
export function triedFor(amount: number): number {
  return IS_CHECK ? amount / 4 : amount;
}

/** Tables of cases that are too many for `npm test`: it runs those that show most, and `npm run test:soak` all of them. */

const IS_SOAK = process.env['GODWIT_SOAK'] === '1';

/** @param further - each takes seconds, and fails only where one of the usual ones does, as far as anybody knows */
export function withFurther<T>(usual: readonly T[], further: readonly T[]): readonly T[] {
  return IS_SOAK ? [...usual, ...further] : usual;
}

/**
 * Is a page all zero?
 *
 * Owns: the test. Works on 32-bit integers: as floats a page full of -0 would look like zeros.
 */
import { PAGE_SIZE } from './page.ts';

const WORDS = PAGE_SIZE / 4;

/**
 * @param words - memory that holds the page
 * @param page - which page of that memory, counted from its start
 */
export function isZeroPage(words: Int32Array, page: number): boolean {
  const start = page * WORDS;
  // Most pages that are not zero show it in one of these words.
  if ((words[start]! | words[start + 511]! | words[start + 1023]! | words[start + 256]!) !== 0) return false;
  const end = start + WORDS;
  for (let i = start; i < end; i += 8) {
    const any =
      words[i]! |
      words[i + 1]! |
      words[i + 2]! |
      words[i + 3]! |
      words[i + 4]! |
      words[i + 5]! |
      words[i + 6]! |
      words[i + 7]!;
    if (any !== 0) return false;
  }
  return true;
}

/**
 * 64 bits for each 64-byte line of a page, and 64 for all of it, to see what has changed without keeping the page.
 *
 * Owns: the functions. Must hold: the state is 64 bits wide and every step is a bijection of it, so that two contents
 * collide as rarely as 64 bits allow; the seed is secret and lasts no longer than the daemon, so that nobody can prepare contents.
 * Not a cryptographic hash: whoever writes a VM's memory could at most damage that VM.
 */

export const LINES_PER_PAGE = 64;
/** Two 32-bit words a line, and as many for a page. */
export const LINE_HASH_WORDS: number = 2 * LINES_PER_PAGE;
const WORDS_PER_LINE = 16;
// Odd, so that multiplying loses nothing; those of Murmur3.
const C1 = 0xcc9e2d51 | 0;
const C2 = 0x1b873593 | 0;
const C3 = 0x85ebca6b | 0;

/**
 * Hashes the page that begins at word `at` into `into[to]` and the 127 words after it.
 * @param seed - two words
 */
export function hashLines(page: Int32Array, at: number, into: Int32Array, to: number, seed: Int32Array): void {
  const seedA = seed[0]!;
  const seedB = seed[1]!;
  let word = at;
  // Two lines at a time: the steps of one line wait for each other, those of the other fill the gaps.
  for (let slot = to; slot < to + LINE_HASH_WORDS; slot += 4, word += WORDS_PER_LINE) {
    let a = seedA;
    let b = seedB;
    let c = seedA;
    let d = seedB;
    for (const end = word + WORDS_PER_LINE; word < end; word += 2) {
      a ^= page[word]!;
      c ^= page[word + WORDS_PER_LINE]!;
      b ^= page[word + 1]!;
      d ^= page[word + WORDS_PER_LINE + 1]!;
      a = Math.imul(a ^ (a >>> 15), C1);
      c = Math.imul(c ^ (c >>> 15), C1);
      b = Math.imul(b ^ (b >>> 16), C2);
      d = Math.imul(d ^ (d >>> 16), C2);
      a = (((a << 13) | (a >>> 19)) + b) | 0;
      c = (((c << 13) | (c >>> 19)) + d) | 0;
      // Once more, or a difference in high bits would come out as a difference in a single one.
      a = Math.imul(a ^ (a >>> 13), C3);
      c = Math.imul(c ^ (c >>> 13), C3);
      b = ((b << 17) | (b >>> 15)) ^ a;
      d = ((d << 17) | (d >>> 15)) ^ c;
    }
    into[slot] = a;
    into[slot + 1] = b;
    into[slot + 2] = c;
    into[slot + 3] = d;
  }
}

/** Hashes the hashes of a page's lines into `into[to]` and the word after it; never two zeros. */
export function hashPage(lines: Int32Array, into: Int32Array, to: number, seed: Int32Array): void {
  let a = seed[1]!;
  let b = seed[0]!;
  for (let word = 0; word < LINE_HASH_WORDS; word += 2) {
    a ^= lines[word]!;
    b ^= lines[word + 1]!;
    a = Math.imul(a ^ (a >>> 15), C1);
    b = Math.imul(b ^ (b >>> 16), C2);
    a = (((a << 13) | (a >>> 19)) + b) | 0;
    a = Math.imul(a ^ (a >>> 13), C3);
    b = ((b << 17) | (b >>> 15)) ^ a;
  }
  into[to] = a;
  into[to + 1] = a === 0 && b === 0 ? 1 : b;
}

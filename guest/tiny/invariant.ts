/**
 * What the tiny guest's memory must look like whenever the guest is stopped.
 *
 * Must hold: with the pages of the range in order, byte 0 is the same number a in all of them, except that from some
 * page on it is a-1 (modulo 256): the guest has not come there yet in this pass. A page that was lost, or is older
 * than it should be, breaks that. Only valid while `isTinyGuestReady`.
 */
import type { ByteMemory } from './control.ts';
import { PAGE_BYTES } from './layout.ts';

export interface TinyGuestRange {
  readonly firstPage: number;
  readonly pageCount: number;
}

export type InvariantOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly page: number };

/** @param readPage - byte 0 of a page */
export function checkInvariant(readPage: (page: number) => number, range: TinyGuestRange): InvariantOutcome {
  const { firstPage, pageCount } = range;
  if (pageCount === 0) return { ok: true };
  const ahead = readPage(firstPage);
  const behind = (ahead + 255) % 256;
  let expected = ahead;
  for (let page = firstPage + 1; page < firstPage + pageCount; page++) {
    const value = readPage(page);
    if (value === expected) continue;
    if (expected === ahead && value === behind) {
      expected = behind;
      continue;
    }
    const wanted = expected === ahead ? `${ahead} or ${behind}` : String(behind);
    return { ok: false, reason: `Page ${page} has ${value} where ${wanted} is expected`, page };
  }
  return { ok: true };
}

/** Byte 0 of a page, out of memory that is read by offset. */
export function pageReader(memory: ByteMemory): (page: number) => number {
  const byte = new Uint8Array(1);
  return (page) => {
    memory.read(page * PAGE_BYTES, byte);
    return byte[0]!;
  };
}

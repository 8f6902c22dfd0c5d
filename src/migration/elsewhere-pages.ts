/**
 * Pages of other VMs that came or come here, by what is in them.
 *
 * Must hold: what is taken has the fingerprint that was asked for, whatever has become of the page meanwhile.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import type { Elsewhere } from '../wire/packed-pages.ts';
import type { ElsewhereInput } from './arrival-words.ts';
import { ArrivedMemories } from './arrived-memories.ts';

/** `notYet`: nothing has come there so far. `other`: something else is there, or no such VM is here. */
export type FoundElsewhere = 'here' | 'notYet' | 'other';

/** Nobody names a page that is zero. */
const ZERO_PAGE = new Uint8Array(PAGE_SIZE);

export class ElsewherePages implements Disposable {
  readonly #memories: ArrivedMemories;
  readonly #fingerprint: PageFingerprint;

  constructor({ directory, key }: ElsewhereInput) {
    this.#memories = new ArrivedMemories(directory);
    this.#fingerprint = new PageFingerprint(key);
  }

  /** `into` may hold anything where it is not `here`. */
  fetch({ migration, page, fingerprint }: Elsewhere, into: Uint8Array): FoundElsewhere {
    if (!this.#memories.read(migration, page, into)) return 'other';
    if (Buffer.compare(into, ZERO_PAGE) === 0) return 'notYet';
    return this.#fingerprint.of(into, 0).equals(fingerprint) ? 'here' : 'other';
  }

  /** Now and then. */
  forgetEnded(): void {
    this.#memories.forgetEnded();
  }

  [Symbol.dispose](): void {
    this.#memories[Symbol.dispose]();
  }
}

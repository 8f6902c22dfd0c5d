/**
 * Packing before there is anything to pack: code that has not run yet is ten times as slow, and the first batches would
 * say of packing that it does not pay.
 *
 * Must hold: it needs nothing, and nothing is left of it.
 */
import { randomUUID } from 'node:crypto';
import { PAGE_SIZE } from '../base/page.ts';
import { availableCodecs } from '../linux/compression.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { FINGERPRINT_KEY_BYTES } from '../memory/page-fingerprint.ts';
import { StagingBuffer } from '../memory/staging.ts';
import { PagePacker } from '../transfer/page-packer.ts';
import { SentContents } from '../transfer/sent-contents.ts';
import { createSentPages } from '../transfer/sent-pages.ts';

const TIMES = 20;
const PAGES = 64;

/** Takes some 30 ms of CPU time. */
export function rehearsePacking(): void {
  const words = new Int32Array((PAGES * PAGE_SIZE) / 4);
  for (let i = 0; i < words.length; i++) words[i] = i & 1 ? i : Math.imul(i, 0x9e3779b1);
  const memory: Pick<GuestMemory, 'readPages'> = {
    readPages: ({ first, count }, into) => {
      into.set(new Uint8Array(words.buffer, first * PAGE_SIZE, count * PAGE_SIZE));
    },
  };
  const staging = new StagingBuffer(PAGES);
  const packer = new PagePacker(createSentPages({ pageCount: PAGES, same: true, linesBudgetBytes: 2 ** 20 }));
  packer.learn({ filter: new Uint8Array(new SharedArrayBuffer(64)), key: new Uint8Array(FINGERPRINT_KEY_BYTES) });
  const contents = SentContents.enter(SentContents.create(), randomUUID(), '');
  packer.share({ contents, key: new Uint8Array(FINGERPRINT_KEY_BYTES) });
  for (let time = 0; time < TIMES; time++) {
    for (let page = 0; page < PAGES; page += 2) words[(page * PAGE_SIZE) / 4]!++;
    for (const codec of availableCodecs()) {
      const batch = staging.read(memory, [{ first: 0, count: PAGES }]);
      packer.pack(batch, { codec, level: 1, same: true, held: true, elsewhere: 'name', delta: true });
    }
  }
}

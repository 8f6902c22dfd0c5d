/**
 * A packing thread: takes batches as they come.
 *
 * Must hold: it gives way to the guests of this host while nobody stands still for it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { availableCodecs } from '../linux/compression.ts';
import { FINGERPRINT_KEY_BYTES } from '../memory/page-fingerprint.ts';
import { createSlot, type HeldContents, type PackJob, type PackShared } from './pack-words.ts';
import { PagePacker } from './page-packer.ts';
import { createSentLines } from './sent-lines.ts';

const REHEARSALS = 20;
const REHEARSED_PAGES = 64;

const packer = new PagePacker(workerData as PackShared);
rehearse();

parentPort!.on('message', (job: PackJob | HeldContents | 'stop') => {
  if (job === 'stop') {
    parentPort!.close();
    return;
  }
  if ('filter' in job) {
    packer.learn(job);
    return;
  }
  try {
    parentPort!.postMessage(packer.pack(job));
  } catch {
    parentPort!.postMessage({ id: job.id, failed: true });
  }
});

/** Code that has not run yet is ten times as slow, and the first batches would say of packing that it does not pay. */
function rehearse(): void {
  const slot = createSlot();
  const pages = new Int32Array(slot.staging);
  for (let i = 0; i < pages.length; i++) pages[i] = i & 1 ? i : Math.imul(i, 0x9e3779b1);
  const runs = [{ first: 0, count: REHEARSED_PAGES }];
  const stand = new PagePacker({ slots: [slot], lines: createSentLines(REHEARSED_PAGES, 2 ** 20) });
  stand.learn({ filter: new Uint8Array(new SharedArrayBuffer(64)), key: new Uint8Array(FINGERPRINT_KEY_BYTES) });
  for (let round = 0; round < REHEARSALS; round++) {
    for (let page = 0; page < REHEARSED_PAGES; page += 2) pages[page * 1024]!++;
    for (const codec of availableCodecs()) {
      stand.pack({ id: 0, slot: 0, runs, parts: runs, codec, level: 1, same: true, held: true, delta: true });
    }
  }
}

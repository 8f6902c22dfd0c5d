/** What a region's thread says to the main thread, and how it ends. */
import { parentPort } from 'node:worker_threads';
import type { RegionWord } from './region-orders.ts';

/** Ends the thread in the middle of whatever it does. */
export class Ended extends Error {}

export function report(word: RegionWord): void {
  parentPort!.postMessage(word);
}

export function sayGone(vm: string): void {
  report({ kind: 'noted', text: `The QEMU of VM ${vm} has ended; the region is not watched there any more` });
}

/**
 * One replacing of a VM's QEMU, seen from the daemon's main thread.
 *
 * Owns: the thread. Must hold: `ended` resolves whatever happens to it.
 */
import type { Worker } from 'node:worker_threads';
import { startThread } from '../migration/child-threads.ts';
import type { UpgradeInput, UpgradeOrder, UpgradeOutcome } from './upgrade-words.ts';

export class UpgradeThread {
  /** null: the thread died without a word, and the journal knows where the VM is. */
  readonly ended: Promise<UpgradeOutcome | null>;
  readonly #worker: Worker;
  #isGone = false;

  constructor(input: UpgradeInput) {
    this.#worker = startThread({ module: '../upgrade/upgrade-worker', input, stop: () => this.cancel() });
    let outcome: UpgradeOutcome | null = null;
    this.#worker.on('message', (message: UpgradeOutcome) => {
      outcome = message;
    });
    this.#worker.on('error', () => undefined); // it exits, too, and says no word
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#isGone = true;
        resolve(outcome);
      });
    });
  }

  /** Idempotent. Too late once the new QEMU has the VM. */
  cancel(): void {
    if (!this.#isGone) this.#worker.postMessage({ kind: 'cancel' } satisfies UpgradeOrder);
  }
}

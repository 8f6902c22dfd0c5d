/**
 * The samples of contents that a host has told, so that each crosses once and not with every look.
 *
 * Must hold: an answer is completed with what the host left out because it was told before, and only with that.
 */
import type { OutlookView } from '../api/outlook-schema.ts';

interface Held {
  readonly version: string;
  readonly contents: string;
}

export class HeldSamples {
  /** By the VM's UUID. */
  #held: ReadonlyMap<string, Held> = new Map();
  #cursor: string | undefined;

  /** What the host is asked for samples after; undefined: for all. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** @param answer - to a question that was not brief */
  complete(answer: OutlookView): OutlookView {
    const before = this.#held;
    const held = new Map<string, Held>();
    let isWhole = true;
    const vms = answer.vms.map((vm) => {
      const { uuid, contents, contentsVersion: version } = vm;
      // An older host tells all of them each time.
      if (version === undefined || version === null) return vm;
      const known = contents === null ? before.get(uuid) : { version, contents };
      if (known?.version !== version) {
        isWhole = false;
        return vm;
      }
      held.set(uuid, known);
      return contents === null ? { ...vm, contents: known.contents } : vm;
    });
    this.#held = held;
    // Of an answer that came late something may be missing: everything is asked for anew.
    this.#cursor = isWhole ? answer.contentsCursor : undefined;
    return { ...answer, vms };
  }
}

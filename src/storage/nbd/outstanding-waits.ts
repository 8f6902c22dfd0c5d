/**
 * Who waits for something to be over in a table of requests.
 *
 * Owns: the conditions that are waited for. Must hold: each is looked at whenever a request has ended or something was opened.
 */
export class OutstandingWaits {
  readonly #waits = new Set<{ readonly isOver: () => boolean; readonly resolve: () => void }>();

  /** Resolves at once, or at the first `look` that finds it over. */
  until(isOver: () => boolean): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve) => this.#waits.add({ isOver, resolve }));
  }

  look(): void {
    for (const wait of this.#waits) {
      if (!wait.isOver()) continue;
      this.#waits.delete(wait);
      wait.resolve();
    }
  }
}

/**
 * A VM of a group that is ready to move and stays until it is called (R4).
 *
 * Owns: whether it was called. Must hold: an aborted migration waits no longer.
 */
export class GroupCall {
  readonly #called = Promise.withResolvers<void>();

  call(): void {
    this.#called.resolve();
  }

  /** @throws the signal's reason */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, reject } = Promise.withResolvers<never>();
    const aborted = (): void => reject(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    await Promise.race([this.#called.promise, promise]).finally(() => signal.removeEventListener('abort', aborted));
  }
}

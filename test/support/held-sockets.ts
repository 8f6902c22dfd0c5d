/**
 * Two ends of one connection with somebody in between, who can hold back what the near end sends.
 *
 * Must hold: the near end is never slowed: what is held back waits here, in its order.
 */
import { SocketPair } from './socket-pair.ts';

export class HeldSockets implements Disposable {
  readonly #near: SocketPair;
  readonly #far: SocketPair;
  #held: Buffer[] | undefined;

  private constructor(near: SocketPair, far: SocketPair) {
    this.#near = near;
    this.#far = far;
    near.far.on('data', (chunk: Buffer) => {
      if (this.#held) this.#held.push(chunk);
      else far.near.write(chunk);
    });
    near.far.on('end', () => far.near.end());
    far.near.pipe(near.far);
    near.far.resume();
  }

  static async open(): Promise<HeldSockets> {
    const [near, far] = await Promise.all([SocketPair.open(), SocketPair.open()]);
    return new HeldSockets(near, far);
  }

  take(end: 'near' | 'far'): number {
    return end === 'near' ? this.#near.take('near') : this.#far.take('far');
  }

  hold(): void {
    this.#held ??= [];
  }

  letGo(): void {
    for (const chunk of this.#held ?? []) this.#far.near.write(chunk);
    this.#held = undefined;
  }

  /** The ends that nobody has taken; those in between end when these have. */
  [Symbol.dispose](): void {
    this.#near.near.destroy();
    this.#far.far.destroy();
  }
}

/**
 * Places for those who have connected to the migration port and not said what they want yet.
 *
 * Owns: who has one. Must hold: there are only so many, all together and for one address; a stranger who is silent keeps nobody else out,
 * as the oldest of them goes for who comes: a host that has something to say, such as for a VM that stands still, says it within
 * milliseconds. Who has made an offer waits for an answer and is not sent away for others.
 */
export interface UndecidedPeer {
  readonly hasOffered: boolean;
  drop(): void;
}

/** Each costs a TLS handshake and some ten KiB. */
export const MAX_UNDECIDED = 256;
/** Several migrations of one host begin at once, with up to 16 connections each. */
export const MAX_UNDECIDED_OF_ADDRESS = 64;

export class UndecidedPlaces {
  /** With their addresses; who came first is first. */
  readonly #taken = new Map<UndecidedPeer, string>();

  /** @returns whether there is room for one more of this address; the oldest silent one has been sent away for it where needed */
  makeRoom(address: string): boolean {
    const ofAddress = [...this.#taken].filter(([, other]) => other === address).map(([peer]) => peer);
    if (ofAddress.length >= MAX_UNDECIDED_OF_ADDRESS) return this.#dropOldestOf(ofAddress);
    return this.#taken.size < MAX_UNDECIDED || this.#dropOldestOf(this.#taken.keys());
  }

  take(peer: UndecidedPeer, address: string): void {
    this.#taken.set(peer, address);
  }

  leave(peer: UndecidedPeer): void {
    this.#taken.delete(peer);
  }

  dropAll(): void {
    for (const peer of this.#taken.keys()) peer.drop();
  }

  #dropOldestOf(peers: Iterable<UndecidedPeer>): boolean {
    for (const peer of peers) {
      if (peer.hasOffered) continue;
      this.leave(peer);
      peer.drop();
      return true;
    }
    return false;
  }
}

/**
 * One request of one client, from its arrival to the end of what the storage does for it.
 *
 * Owns: its state, and the memory of its data. Must hold: it is answered at most once; its memory is given back once,
 * when neither the storage nor the client's connection uses it any more.
 */
import type { NbdError } from './numbers.ts';
import type { Extent } from './replies.ts';
import type { NbdRequest } from './request-decoder.ts';

/** Who has asked. */
export interface RequestClient {
  readonly id: number;
  /** Holes in what it reads can be told as such. */
  readonly takesHoles: boolean;
  /** The client is told; called once a request at most. */
  answer(tracked: TrackedRequest, error: NbdError): void;
}

export class TrackedRequest {
  readonly client: RequestClient;
  readonly generation: number;
  readonly request: NbdRequest;
  readonly arrivedMs: number;
  state: 'waiting' | 'running' = 'waiting';
  #isAnswered = false;
  /** Of a read: `request.bytes` bytes, of which those in `extents` are filled that are no holes. */
  read: Uint8Array | undefined;
  /** Of a read that found holes, and of a block status. */
  extents: readonly Extent[] | undefined;

  constructor(client: RequestClient, generation: number, request: NbdRequest, arrivedMs: number) {
    this.client = client;
    this.generation = generation;
    this.request = request;
    this.arrivedMs = arrivedMs;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  answer(error: NbdError): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.client.answer(this, error);
  }

  /** There is nobody to answer. */
  discard(): void {
    this.#isAnswered = true;
  }
}

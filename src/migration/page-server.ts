/**
 * The source's thread that answers the destination's page requests (V5, V6): blocking, on the urgent connection.
 *
 * Owns: one urgent connection. Answers the pages asked for first, each alone, and then their neighbourhoods as far as nobody
 * has sent them yet: the next faults are likely there. Requests that have come go before neighbourhoods, but for one after every few.
 * Must hold: the VM does not run here any more, so memory does not change; a page that was asked for is always sent,
 * also when the background already sent it (it may still be queued behind a megabyte); after an answer that could not be
 * sent nothing more is answered, and the connection is closed, so that the destination asks anew on another one.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { PageIndex, PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd, pollReadable } from '../linux/poll.ts';
import { createPageDigest } from '../memory/digest.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { StagingBuffer } from '../memory/staging.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { UrgentChannel } from '../transfer/urgent-channel.ts';
import type { DecodedFrame } from '../wire/decoder.ts';
import { encodePageReplyHeader } from '../wire/encoder.ts';
import { FrameType } from '../wire/frame-types.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { encodeControl } from '../wire/message-codec.ts';
import { decodePageRequest, type ReplyRun } from '../wire/page-payloads.ts';
import { passFaultPoint } from './fault-points.ts';
import type { FaultRing } from './fault-ring.ts';
import {
  faultsIn,
  type PageServerInput,
  type PageServerReport,
  PageServerShared,
  REHEARSAL_SEQUENCE,
} from './page-server-words.ts';
import { takeInput } from './thread-input.ts';
import { Alertness } from './thread-priority.ts';

const MAX_WINDOW = 64;
/** Neighbourhoods that wait: older ones are left to who pushes, who goes around the same faults. */
const MOST_WAITING = 8;
/** However many requests wait, after so many answers a neighbourhood goes: it saves some of the next ones. */
const ANSWERS_PER_NEIGHBOURHOOD = 4;

class PageServer implements Disposable {
  readonly #memory: GuestMemory;
  readonly #layout: RamLayout;
  readonly #owed: PageBitmap;
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #faults: FaultRing;
  readonly #channel: UrgentChannel;
  readonly #control: EventFd;
  readonly #budget: HostBudget;
  readonly #staging = new StagingBuffer(MAX_PAGES_PER_FRAME);
  readonly #pageDigest: ReturnType<typeof createPageDigest> | undefined;
  #frame = new Uint8Array(0);
  /** Pages that were answered and whose neighbourhoods are still to be sent, the oldest first. */
  readonly #answered: { readonly sequence: number; readonly page: PageIndex }[] = [];
  /** Since the last neighbourhood. */
  #answers = 0;
  /** Why the connection is of no use any more. */
  #lost: string | undefined;

  constructor(input: PageServerInput) {
    this.#layout = RamLayout.fromJson(input.layout);
    this.#memory = GuestMemory.open(this.#layout, input.files);
    this.#owed = new PageBitmap(this.#layout.pageCount, input.owed);
    this.#shared = new Int32Array(input.shared);
    this.#faults = faultsIn(this.#shared);
    this.#channel = new UrgentChannel(input.fd, 'destination');
    this.#control = EventFd.borrow(input.controlFd);
    this.#budget = new HostBudget(input.hostBudget);
    this.#pageDigest = input.verify === null ? undefined : createPageDigest(input.verify);
  }

  /** Until it is told to stop or the connection is lost, which it tells. */
  run(): void {
    const alertness = new Alertness();
    alertness.begin();
    report({ kind: 'ready' });
    // The destination asks only now: before, another thread had this connection.
    this.#say(encodeControl({ kind: 'ping', token: 0, wallMs: SYSTEM_CLOCK.wallMs() }));
    while (this.#lost === undefined) {
      const timeoutMs = this.#answered.length > 0 ? 0 : -1;
      const [asked, stopped] = pollReadable([this.#channel.fd, this.#control.fd], timeoutMs);
      alertness.reconsider();
      if (stopped) {
        this.#control.drain();
        if (receiveMessageOnPort(parentPort!)) return;
      }
      if (asked) this.#lost ??= this.#read();
      if (!asked || this.#answers >= ANSWERS_PER_NEIGHBOURHOOD) this.#sendNeighbourhood();
    }
    report({ kind: 'linkLost', reason: this.#lost });
  }

  /** Answers what has come. Returns why no more will, if so: what breaks the protocol ends the connection, too. */
  #read(): string | undefined {
    try {
      const read = this.#channel.read((frame) => this.#take(frame));
      return read.kind === 'lost' ? read.reason : this.#lost;
    } catch (error) {
      const known = asGodwitError(error);
      if (known.code.startsWith('GW_WIRE_')) return known.message;
      throw known;
    }
  }

  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
    this.#control[Symbol.dispose]();
  }

  #take(frame: DecodedFrame): void {
    if (this.#lost !== undefined) return;
    if (frame.type !== FrameType.pageRequest) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', {
        frame: String(frame.type),
        reason: 'only requests come here',
      });
    }
    const request = decodePageRequest(frame.payload, this.#layout.pageCount);
    if (request.sequence < REHEARSAL_SEQUENCE) passFaultPoint('pageRequest');
    this.#answer(request.sequence, request);
  }

  #answer(sequence: number, asked: PageRun): void {
    if (sequence >= REHEARSAL_SEQUENCE) {
      this.#send(sequence, [asked]);
      return;
    }
    for (let page = asked.first; page < asked.first + asked.count; page++) this.#owed.release(page);
    this.#send(sequence, [asked]);
    this.#faults.add(asked.first);
    this.#answers++;
    this.#answered.push({ sequence, page: asked.first });
    if (this.#answered.length > MOST_WAITING) this.#answered.shift();
  }

  /** The newest first: the VM is there now. */
  #sendNeighbourhood(): void {
    const next = this.#answered.pop();
    if (next === undefined || this.#lost !== undefined) return;
    this.#answers = 0;
    const neighbours = this.#neighbours(next.page);
    if (neighbours.length > 0) this.#send(next.sequence, neighbours);
  }

  /** The rest of the aligned window around the request that nobody has sent. */
  #neighbours(asked: PageIndex): PageRun[] {
    const window = Math.min(MAX_WINDOW, Atomics.load(this.#shared, PageServerShared.window));
    const first = asked - (asked % window);
    const end = Math.min(first + window, this.#layout.pageCount);
    const runs: PageRun[] = [];
    for (let page = first; page < end; page++) {
      if (!this.#owed.release(page)) continue;
      const last = runs.at(-1);
      if (last && last.first + last.count === page)
        runs[runs.length - 1] = { first: last.first, count: last.count + 1 };
      else runs.push({ first: page, count: 1 });
    }
    return runs;
  }

  #send(sequence: number, runs: readonly PageRun[]): void {
    const batch = this.#staging.read(this.#memory, runs);
    const replies: ReplyRun[] = [
      ...batch.dataRuns.map((run) => ({ ...run, kind: 'data' as const })),
      ...batch.zeroRuns.map((run) => ({ ...run, kind: 'zero' as const })),
    ].sort((a, b) => a.first - b.first);
    const digests = this.#pageDigest?.digestParts(batch.dataRuns, batch.parts);
    const header = encodePageReplyHeader(sequence, replies, digests);
    // One buffer and one send: two would be two packets and two wake-ups at the other side.
    const frame = this.#frameOf(header.length + batch.parts.reduce((sum, part) => sum + part.length, 0));
    frame.set(header);
    let at = header.length;
    for (const part of batch.parts) {
      frame.set(part, at);
      at += part.length;
    }
    this.#say(frame);
  }

  /** The same memory for every answer: it is free again when `#say` returns. A new one each time is work for the collector. */
  #frameOf(length: number): Uint8Array {
    if (this.#frame.length < length) this.#frame = new Uint8Array(length);
    return this.#frame.subarray(0, length);
  }

  #say(frame: Uint8Array): void {
    this.#budget.charge(frame.length);
    if (!this.#channel.send(frame)) this.#lost = 'the other host does not take what it is sent';
    const moved = this.#channel.bytesSent + this.#channel.bytesReceived;
    Atomics.store(this.#shared, PageServerShared.wireBytes256, Math.ceil(moved / 256));
  }
}

function report(message: PageServerReport): void {
  parentPort!.postMessage(message);
}

try {
  using server = new PageServer(await takeInput<PageServerInput>());
  server.run();
} catch (error) {
  report({ kind: 'failed', error: asGodwitError(error).toBody() });
}

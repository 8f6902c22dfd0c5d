/**
 * The source's thread of one page channel: reads pages, makes them smaller, sends them.
 *
 * Owns: one connection at a time, the staging copy and what the steps need. Must hold: what is looked at is what is sent;
 * a page that the destination holds and that is zero now is told to be zero, one that it never got is left out (its
 * memory reads as zero); after a frame that could not be sent whole nothing more goes over that connection.
 */
import { parentPort } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd } from '../linux/poll.ts';
import { shutdownSocket } from '../linux/socket.ts';
import { createPageDigest, type DigestScheme, type PageDigest } from '../memory/digest.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { mayHoldZeroPages, type PageBatch, StagingBuffer } from '../memory/staging.ts';
import { closedBy } from '../transfer/connection.ts';
import type { PackSteps } from '../transfer/pack-body.ts';
import { isBestMovedDirectly, SendingChannel } from '../transfer/page-channel.ts';
import { looksAtPages, type PackedBatch, type PackOutcome, PagePacker } from '../transfer/page-packer.ts';
import { encodeDigestedPagesHeader, encodePagesHeader, encodeZeroPages } from '../wire/encoder.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { encodePackedPagesHeader } from '../wire/packed-pages.ts';
import { rehearsePacking } from './packing-rehearsal.ts';
import {
  type SendingInput,
  SendingWords,
  type SendJob,
  type SendOrder,
  type SendReport,
  type SendResult,
} from './page-channel-words.ts';
import { takeInput } from './thread-input.ts';
import { ThreadDuty } from './thread-priority.ts';

interface Frame {
  readonly parts: readonly Uint8Array[];
  readonly outcome: PackOutcome | undefined;
}

class PageChannelThread {
  readonly #input: SendingInput;
  readonly #memory: GuestMemory;
  readonly #delivered: PageBitmap;
  readonly #words: Int32Array;
  readonly #sentBytes: BigInt64Array;
  readonly #interrupt: EventFd;
  readonly #staging = new StagingBuffer(MAX_PAGES_PER_FRAME);
  readonly #packer: PagePacker;
  readonly #duty = new ThreadDuty();
  #digest: PageDigest | undefined;
  #channel: SendingChannel | undefined;
  #hasComplained = false;

  constructor(input: SendingInput) {
    this.#input = input;
    const layout = RamLayout.fromJson(input.layout);
    this.#memory = GuestMemory.open(layout, input.files);
    this.#delivered = new PageBitmap(layout.pageCount, input.delivered);
    this.#words = new Int32Array(input.words);
    this.#sentBytes = new BigInt64Array(input.sentBytes);
    this.#interrupt = EventFd.borrow(input.interruptFd);
    this.#packer = new PagePacker(input.sent);
  }

  obey(order: SendOrder): void {
    switch (order.kind) {
      case 'link':
        this.#link(order.fd);
        return;
      case 'held':
        this.#packer.learn(order);
        return;
      case 'share':
        this.#packer.share(order.elsewhere);
        return;
      case 'priority':
        this.#duty.take(order.priority);
        return;
      case 'stop':
        this.#channel?.[Symbol.dispose]();
        this.#memory[Symbol.dispose]();
        parentPort!.close();
        return;
      case 'send':
        try {
          report({ kind: 'sent', id: order.id, result: this.#send(order.id, order.job) });
        } catch (error) {
          this.#abandon();
          report({ kind: 'failed', id: order.id, error: asGodwitError(error).toBody() });
        }
        this.#duty.reconsider();
        return;
    }
  }

  #link(fd: number): void {
    this.#channel?.[Symbol.dispose]();
    this.#interrupt.drain();
    Atomics.store(this.#words, SendingWords.isCut, 0);
    const options = {
      peer: this.#input.peer,
      interruptFd: this.#interrupt.fd,
      interrupted: () => this.#giveUp(),
    };
    this.#channel = new SendingChannel(fd, options, (bytes) => Atomics.add(this.#sentBytes, 0, BigInt(bytes)));
    report({ kind: 'linked' });
  }

  /** Part of a frame may have gone: the next one's bytes would be taken for the rest of it. */
  #abandon(): void {
    if (!this.#channel) return;
    shutdownSocket(this.#channel.fd);
    this.#channel[Symbol.dispose]();
    this.#channel = undefined;
  }

  #giveUp(): never {
    throw closedBy(this.#input.peer, 'closed here');
  }

  #send(id: number, job: SendJob): SendResult {
    const channel = this.#channel;
    if (!channel || Atomics.load(this.#words, SendingWords.isCut) !== 0) this.#giveUp();
    const isDirect = job.isDirect && isBestMovedDirectly(job.runs);
    if (isDirect && !mayHoldZeroPages(this.#memory, job.runs)) return this.#sendDirectly(channel, job.runs);
    const batch = this.#staging.read(this.#memory, job.runs);
    const zeroed = job.awaited ? batch.zeroRuns : batch.zeroRuns.filter((run) => this.#anyDelivered(run));
    const resentPages = this.#deliver(batch.dataRuns);
    const parts: Uint8Array[] = [];
    let frames = 0;
    if (zeroed.length > 0) {
      for (const run of zeroed) this.#delivered.releaseRun(run.first, run.count);
      this.#forget(zeroed);
      parts.push(encodeZeroPages(zeroed));
      frames++;
    }
    const frame = batch.dataPages > 0 ? this.#frameOf(batch, job) : undefined;
    if (frame && frame.parts.length > 0) {
      parts.push(...frame.parts);
      frames++;
    }
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (bytes > 0) {
      if (job.isPaced) this.#awaitTurn(id, bytes);
      channel.send(parts);
    }
    const { zeroPages, dataPages: pages } = batch;
    return { pages, zeroPages, resentPages, bytes, frames, outcome: frame?.outcome };
  }

  /** Without looking at the pages, and without copying them where the kernel can do without. */
  #sendDirectly(channel: SendingChannel, runs: readonly PageRun[]): SendResult {
    const resentPages = this.#deliver(runs);
    this.#forget(runs);
    const header = encodePagesHeader(runs);
    channel.sendFiles(header, this.#memory.filePieces(runs));
    const pages = countPages(runs);
    const bytes = header.length + pages * PAGE_SIZE;
    return { pages, zeroPages: 0, resentPages, bytes, frames: 1, outcome: undefined };
  }

  /** The batch's pages with content as a frame; no parts when the destination has them all. */
  #frameOf(batch: PageBatch, { steps, digest }: SendJob): Frame {
    const { dataRuns, parts } = batch;
    const digests = digest === null ? undefined : this.#digestOf(digest).digestParts(dataRuns, parts);
    if (!steps || !looksAtPages(steps)) this.#forget(dataRuns);
    const packed = steps && this.#pack(batch, steps);
    const outcome = packed?.outcome;
    if (packed && !packed.isPlain) {
      if (packed.runs.length === 0) return { parts: [], outcome };
      const { codec, bodyBytes } = packed.outcome;
      const header = encodePackedPagesHeader({ codec, bodyBytes, runs: packed.runs, digests }, packed.packed.length);
      return { parts: [header, packed.packed], outcome };
    }
    const header = digests ? encodeDigestedPagesHeader(dataRuns, digests) : encodePagesHeader(dataRuns);
    return { parts: [header, ...parts], outcome };
  }

  /** Packing that goes wrong costs bytes, never a VM: undefined, and the pages go as they are. */
  #pack(batch: PageBatch, steps: PackSteps): PackedBatch | undefined {
    try {
      return this.#packer.pack(batch, steps);
    } catch (error) {
      this.#forget(batch.dataRuns);
      const text = `Pages are sent whole, because packing failed: ${asGodwitError(error).message}`;
      if (!this.#hasComplained) report({ kind: 'noted', text });
      this.#hasComplained = true;
      return undefined;
    }
  }

  #digestOf(scheme: DigestScheme): PageDigest {
    this.#digest ??= createPageDigest(scheme);
    return this.#digest;
  }

  #awaitTurn(id: number, bytes: number): void {
    const before = Atomics.load(this.#words, SendingWords.gate);
    report({ kind: 'packed', id, bytes });
    Atomics.wait(this.#words, SendingWords.gate, before);
    if (Atomics.load(this.#words, SendingWords.isCut) !== 0) this.#giveUp();
  }

  /** How many of the pages the destination had before. */
  #deliver(runs: readonly PageRun[]): number {
    let again = 0;
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++) if (!this.#delivered.claim(page)) again++;
    }
    return again;
  }

  #anyDelivered({ first, count }: PageRun): boolean {
    const next = this.#delivered.next(first);
    return next >= 0 && next < first + count;
  }

  #forget(runs: readonly PageRun[]): void {
    for (const { first, count } of runs) this.#packer.forget(first, count);
  }
}

function report(message: SendReport): void {
  parentPort!.postMessage(message);
}

rehearsePacking();
const thread = new PageChannelThread(await takeInput<SendingInput>());
parentPort!.on('message', (order: SendOrder) => thread.obey(order));

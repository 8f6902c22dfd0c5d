/**
 * The destination's thread of one page channel: blocking, from the connection into the VM's memory.
 *
 * Owns: one connection at a time. Must hold: a frame counts as in place only when all of it is; orders are obeyed before
 * what comes after them is read; this thread touches guest memory by the kernel's calls alone.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import { countPages, type PageRun } from '../base/page.ts';
import { EventFd, pollReadable } from '../linux/poll.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { ContentTable } from '../memory/content-store.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { PageInstaller } from '../memory/page-installer.ts';
import { closedBy } from '../transfer/connection.ts';
import { ReceivingChannel } from '../transfer/page-channel.ts';
import { type FrameHeader, frameName, invalidFrame } from '../wire/frame-types.ts';
import { ArrivalProgress } from './arrival-progress.ts';
import {
  type ArrivalInput,
  type ArrivalOrder,
  type ArrivalPaging,
  type ArrivalReport,
  ArrivalWords,
  type ArrivingMemory,
} from './arrival-words.ts';
import { ArrivingPages } from './arriving-pages.ts';
import { Awaiting } from './awaiting.ts';
import { ElsewherePages } from './elsewhere-pages.ts';
import { FrameIntake } from './frame-intake.ts';
import { HeldFrames } from './held-frames.ts';
import { takeInput } from './thread-input.ts';
import { ThreadDuty } from './thread-priority.ts';

/** A thread that is told to end from outside does so when it comes back from a call. */
const LONGEST_WAIT_MS = 1000;

/** Told to end in the middle of waiting. */
class Stopped extends Error {}

class ArrivalThread {
  readonly #input: ArrivalInput;
  readonly #words: Int32Array;
  readonly #receivedBytes: BigInt64Array;
  readonly #control: EventFd;
  readonly #duty = new ThreadDuty();
  readonly #frames = new FrameIntake();
  readonly #held: HeldFrames;
  #memory: GuestMemory | undefined;
  #pages: ArrivingPages | undefined;
  #contents: ContentTable | undefined;
  #elsewhere: ElsewherePages | undefined;
  readonly #awaiting: Awaiting;
  #installer: PageInstaller | undefined;
  #uffd: Userfaultfd | undefined;
  #installedPages = 0;
  /** Of this connection. */
  #notHeldPages = 0;
  #channel: ReceivingChannel | undefined;
  readonly #progress: ArrivalProgress;

  constructor(input: ArrivalInput) {
    this.#input = input;
    this.#words = new Int32Array(input.words);
    this.#receivedBytes = new BigInt64Array(input.receivedBytes);
    this.#control = EventFd.borrow(input.controlFd);
    this.#held = new HeldFrames(this.#words);
    this.#progress = new ArrivalProgress(this.#words, report);
    this.#awaiting = new Awaiting({
      words: this.#words,
      pages: () => this.#pages,
      onSettled: () => report({ kind: 'awaitedSettled' }),
    });
  }

  /** Until it is told to stop. */
  run(): void {
    try {
      for (;;) {
        const placesHeld = this.#pages !== undefined && !this.#held.isEmpty;
        const reads = !placesHeld && (this.#pages !== undefined || this.#held.hasRoom);
        const fds = this.#channel && reads ? [this.#control.fd, this.#channel.fd] : [this.#control.fd];
        const waitMs = placesHeld ? 0 : this.#awaiting.waitMs(LONGEST_WAIT_MS);
        const [isOrdered, hasCome] = pollReadable(fds, waitMs);
        if (isOrdered) this.#obeyAll();
        else if (placesHeld) this.#placeHeld();
        else if (hasCome && this.#channel) this.#takeFrame(this.#channel);
        this.#awaiting.goOn();
        this.#elsewhere?.forgetEnded();
        this.#duty.reconsider();
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    } finally {
      this.#channel?.[Symbol.dispose]();
      this.#held[Symbol.dispose]();
      this.#uffd?.[Symbol.dispose]();
      this.#memory?.[Symbol.dispose]();
      this.#elsewhere?.[Symbol.dispose]();
    }
  }

  #obeyAll(): void {
    this.#control.drain();
    for (let next = receiveMessageOnPort(parentPort!); next; next = receiveMessageOnPort(parentPort!)) {
      try {
        this.#obey(next.message as ArrivalOrder);
      } catch (error) {
        if (error instanceof Stopped) throw error;
        // It says nothing of a frame that is being read, and orders behind it must be obeyed all the same.
        report({ kind: 'failed', error: asGodwitError(error).toBody() });
      }
    }
  }

  #obey(order: ArrivalOrder): void {
    switch (order.kind) {
      case 'memory':
        this.#open(order.memory);
        return;
      case 'held':
        this.#contents = new ContentTable(order.contents);
        this.#pages?.hold(this.#contents);
        return;
      case 'share':
        this.#elsewhere = new ElsewherePages(order.elsewhere);
        this.#pages?.share(this.#elsewhere);
        return;
      case 'settleAwaited':
        this.#awaiting.settle();
        return;
      case 'paging':
        this.#page(order.paging);
        return;
      case 'link':
        this.#channel?.[Symbol.dispose]();
        this.#notHeldPages = 0;
        this.#pages?.forgetAwaited();
        this.#channel = new ReceivingChannel(
          order.fd,
          { peer: this.#input.peer, interruptFd: this.#control.fd, interrupted: () => this.#obeyAll() },
          (bytes) => void Atomics.add(this.#receivedBytes, 0, BigInt(bytes)),
        );
        report({ kind: 'linked' });
        return;
      case 'priority':
        this.#duty.take(order.priority);
        return;
      case 'tell': {
        const { pages, words } = this.#installer?.digest ?? { pages: 0, words: new BigUint64Array(2) };
        report({ kind: 'statistics', statistics: { pages: this.#installedPages, digest: { pages, words } } });
        return;
      }
      case 'stop':
        throw new Stopped();
    }
  }

  #open(memory: ArrivingMemory): void {
    const layout = RamLayout.fromJson(memory.layout);
    this.#memory = GuestMemory.open(layout, memory.files);
    const notHeld = (runs: readonly PageRun[]): void => this.#tellNotHeld(runs, layout.pageCount);
    this.#pages = new ArrivingPages(this.#memory, memory, layout.pageCount, this.#input.verify, notHeld);
    if (this.#contents) this.#pages.hold(this.#contents);
    if (this.#elsewhere) this.#pages.share(this.#elsewhere);
  }

  /** Who names more pages than there are, on one connection, wants something else than to send them. */
  #tellNotHeld(runs: readonly PageRun[], pageCount: number): void {
    this.#notHeldPages += countPages(runs);
    if (this.#notHeldPages > pageCount) throw invalidFrame('packedPages', 'it names pages again that are not here');
    report({ kind: 'notHeld', runs });
  }

  #page({ pid, insideFd, starts, pages }: ArrivalPaging): void {
    if (this.#installer || !this.#memory) return;
    this.#uffd = Userfaultfd.fetch(pid, insideFd);
    this.#installer = new PageInstaller(pages, this.#memory.layout, starts, this.#uffd);
    this.#pages!.pageWith(this.#installer);
  }

  #takeFrame(channel: ReceivingChannel): void {
    this.#ofChannel(channel, () => {
      const header = channel.readHeader();
      if (!header) throw closedBy(this.#input.peer, 'the other host closed it');
      if (!this.#pages || !this.#memory) {
        this.#held.take(channel, header);
        return;
      }
      this.#checkSeal(header);
      this.#count(this.#frames.take(channel, header, this.#pages, this.#memory));
    });
  }

  /** One that came before there was a place for it. */
  #placeHeld(): void {
    const { header, payload } = this.#held.next()!;
    this.#ofChannel(this.#channel, () => {
      this.#checkSeal(header);
      this.#count(this.#frames.place(header, payload, this.#pages!, this.#memory!.layout.pageCount));
    });
  }

  /** What goes wrong with a frame is its channel's end. */
  #ofChannel(channel: ReceivingChannel | undefined, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (thrown instanceof Stopped) throw thrown;
      const error = asGodwitError(thrown);
      // Another connection has taken its place meanwhile.
      if (channel && this.#channel === channel) this.#drop(channel);
      else if (error.code === 'GW_WIRE_CLOSED') return;
      report({ kind: error.code === 'GW_WIRE_CLOSED' ? 'linkLost' : 'failed', error: error.toBody() });
    }
  }

  #drop(channel: ReceivingChannel): void {
    channel[Symbol.dispose]();
    this.#channel = undefined;
  }

  #checkSeal(header: FrameHeader): void {
    if (!this.#installer && Atomics.load(this.#words, ArrivalWords.isSealed) !== 0) {
      throw invalidFrame(frameName(header.type), 'it comes after all of the memory');
    }
  }

  #count(pages: number): void {
    Atomics.add(this.#words, ArrivalWords.pages, pages);
    if (this.#installer) this.#installedPages += pages;
    this.#awaiting.tell();
    this.#progress.framePlaced(this.#installer);
  }
}

function report(message: ArrivalReport): void {
  parentPort!.postMessage(message);
}

try {
  new ArrivalThread(await takeInput<ArrivalInput>()).run();
} catch (error) {
  report({ kind: 'failed', error: asGodwitError(error).toBody() });
}

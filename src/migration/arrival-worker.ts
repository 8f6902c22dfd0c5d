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
import { RamFile } from '../linux/ram-file.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { ContentTable } from '../memory/content-store.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { PageInstaller } from '../memory/page-installer.ts';
import { closedBy } from '../transfer/connection.ts';
import { ReceivingChannel } from '../transfer/page-channel.ts';
import { type FrameHeader, frameName, invalidFrame } from '../wire/frame-types.ts';
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
import { takeInput } from './thread-input.ts';
import { ThreadDuty } from './thread-priority.ts';

const PROGRESS_EVERY_MS = 100;
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
  #hasBegun = false;
  #toldAllPresent = false;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(input: ArrivalInput) {
    this.#input = input;
    this.#words = new Int32Array(input.words);
    this.#receivedBytes = new BigInt64Array(input.receivedBytes);
    this.#control = EventFd.borrow(input.controlFd);
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
        const fds = this.#channel ? [this.#control.fd, this.#channel.fd] : [this.#control.fd];
        const [isOrdered, hasCome] = pollReadable(fds, this.#awaiting.waitMs(LONGEST_WAIT_MS));
        if (isOrdered) this.#obeyAll();
        else if (hasCome && this.#channel) this.#takeFrame(this.#channel);
        this.#awaiting.goOn();
        this.#elsewhere?.forgetEnded();
        this.#duty.reconsider();
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    } finally {
      this.#channel?.[Symbol.dispose]();
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
    this.#memory = new GuestMemory(
      layout,
      layout.regions.map((region, index) => RamFile.open(memory.files[index]!, region.bytes)),
    );
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
    try {
      const header = channel.readHeader();
      if (!header) throw closedBy(this.#input.peer, 'the other host closed it');
      this.#takePayload(channel, header);
    } catch (thrown) {
      if (thrown instanceof Stopped) throw thrown;
      const error = asGodwitError(thrown);
      // Another connection has taken its place meanwhile.
      if (this.#channel === channel) this.#drop(channel);
      else if (error.code === 'GW_WIRE_CLOSED') return;
      report({ kind: error.code === 'GW_WIRE_CLOSED' ? 'linkLost' : 'failed', error: error.toBody() });
    }
  }

  #drop(channel: ReceivingChannel): void {
    channel[Symbol.dispose]();
    this.#channel = undefined;
  }

  #takePayload(channel: ReceivingChannel, header: FrameHeader): void {
    if (!this.#installer && Atomics.load(this.#words, ArrivalWords.isSealed) !== 0) {
      throw invalidFrame(frameName(header.type), 'it comes after all of the memory');
    }
    if (!this.#pages || !this.#memory) throw invalidFrame(frameName(header.type), 'it comes before anybody was ready');
    const count = this.#frames.take(channel, header, this.#pages, this.#memory);
    Atomics.add(this.#words, ArrivalWords.pages, count);
    if (this.#installer) this.#installedPages += count;
    this.#awaiting.tell();
    this.#countFrame();
  }

  #countFrame(): void {
    const frames = Atomics.add(this.#words, ArrivalWords.frames, 1) + 1;
    if (!this.#hasBegun) report({ kind: 'begun' });
    this.#hasBegun = true;
    const awaited = Atomics.load(this.#words, ArrivalWords.awaitedFrames);
    if (awaited > 0 && frames >= awaited) report({ kind: 'reached' });
    const isAllPresent = this.#installer !== undefined && this.#installer.remaining <= 0;
    if (isAllPresent && !this.#toldAllPresent) report({ kind: 'allPresent' });
    this.#toldAllPresent = isAllPresent;
    const nowMs = performance.now();
    if (nowMs < this.#toldAtMs + PROGRESS_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    report({ kind: 'progress' });
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

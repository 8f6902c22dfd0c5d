/**
 * The destination's thread that answers page faults: blocking, with an urgent connection of its own (V5, R5).
 *
 * Owns: reading QEMU's faults, asking the source for the pages, installing what it answers. While the link is down the
 * faults wait; a new link is given and everything that is still missing is asked for again.
 * Must hold: this thread never touches guest memory except through the kernel's calls on the userfaultfd, never waits
 * for QMP, and never waits without also watching its control descriptor.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { FaultBatch } from '../linux/fault-batch.ts';
import { EventFd, pollReadable } from '../linux/poll.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { createPageDigest } from '../memory/digest.ts';
import { RamLayout } from '../memory/layout.ts';
import { PAGE_DIGEST_BYTES } from '../memory/page-digest.ts';
import { PageInstaller } from '../memory/page-installer.ts';
import { UrgentChannel } from '../transfer/urgent-channel.ts';
import type { DecodedFrame } from '../wire/decoder.ts';
import { encodePageRequest } from '../wire/encoder.ts';
import { FrameType } from '../wire/frame-types.ts';
import { decodePageReply } from '../wire/page-payloads.ts';
import { passFaultPoint } from './fault-points.ts';
import { FaultRehearsal } from './fault-rehearsal.ts';
import type { FaultOrder, FaultReport, FaultWorkerInput } from './fault-worker-words.ts';
import { REHEARSAL_SEQUENCE } from './page-server-words.ts';
import { takeInput } from './thread-input.ts';
import { Alertness } from './thread-priority.ts';
import { WaitingFaults } from './waiting-faults.ts';

/** Before a page for which there was no memory is asked for again. */
const NO_MEMORY_RETRY_MS = 50;

class FaultService {
  readonly #input: FaultWorkerInput;
  readonly #uffd: Userfaultfd;
  readonly #installer: PageInstaller;
  readonly #control: EventFd;
  readonly #batch = new FaultBatch();
  readonly #waiting = new WaitingFaults();
  readonly #rehearsal: FaultRehearsal;
  /** They came, and there was no memory for them: the source has done its part. */
  #unplaced: PageRun[] = [];
  readonly #pageDigest: ReturnType<typeof createPageDigest> | undefined;
  #channel: UrgentChannel | undefined;
  /** The page server at the other end has said that it listens: requests before would reach another thread. */
  #mayAsk = false;
  #sequence = 0;
  #pages = 0;
  #wireBytes = 0;
  #toldAllPresent = false;
  #retryAtMs = Number.POSITIVE_INFINITY;

  constructor(input: FaultWorkerInput) {
    this.#input = input;
    this.#rehearsal = new FaultRehearsal(input.pages.pageCount);
    this.#uffd = Userfaultfd.fetch(input.pid, input.insideFd);
    this.#control = EventFd.borrow(input.controlFd);
    this.#installer = new PageInstaller(input.pages, RamLayout.fromJson(input.layout), input.starts, this.#uffd);
    this.#pageDigest = input.verify === null ? undefined : createPageDigest(input.verify);
  }

  run(): void {
    const alertness = new Alertness();
    alertness.begin();
    report({ kind: 'ready' });
    for (;;) {
      const fds = [this.#uffd.fd, this.#control.fd];
      if (this.#channel) fds.push(this.#channel.fd);
      const timeoutMs = this.#retryAtMs === Number.POSITIVE_INFINITY ? -1 : NO_MEMORY_RETRY_MS;
      const [faulted, ordered, answered] = pollReadable(fds, timeoutMs);
      alertness.reconsider();
      if (ordered && !this.#obey()) return;
      if (answered && this.#channel) this.#takeAnswers(this.#channel);
      if (faulted) this.#takeFaults();
      if (performance.now() >= this.#retryAtMs) this.#askAgain();
      this.#tellIfAllPresent();
    }
  }

  /** False when told to stop. */
  #obey(): boolean {
    this.#control.drain();
    for (let next = receiveMessageOnPort(parentPort!); next; next = receiveMessageOnPort(parentPort!)) {
      const order = next.message as FaultOrder;
      if (order.kind === 'stop') {
        this.#stop();
        return false;
      }
      this.#dropChannel();
      this.#channel = new UrgentChannel(order.fd, 'source');
      this.#mayAsk = false;
    }
    return true;
  }

  #takeFaults(): void {
    const count = this.#uffd.readFaults(this.#batch);
    const nowUs = performance.now() * 1000;
    for (let i = 0; i < count; i++) {
      const page = this.#installer.pageAt(this.#batch.address(i));
      if (page === undefined) continue;
      if (!this.#installer.isMissing(page)) this.#installer.settle(page);
      else if (this.#waiting.begin(page, nowUs)) this.#ask({ first: page, count: 1 });
    }
  }

  #ask(run: PageRun): void {
    if (!this.#channel || !this.#mayAsk) return;
    if (!this.#channel.send(encodePageRequest(this.#sequence++ % REHEARSAL_SEQUENCE, run)))
      this.#loseLink('send failed');
  }

  /** After a new link, and for pages for which there was no memory. */
  #askAgain(): void {
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    const unplaced = this.#unplaced.splice(0);
    for (const page of this.#waiting.pages()) {
      if (this.#installer.isMissing(page)) this.#ask({ first: page, count: 1 });
      else this.#waiting.end(page);
    }
    for (const run of unplaced) this.#ask(run);
  }

  #takeAnswers(channel: UrgentChannel): void {
    try {
      const read = channel.read((frame) => this.#takeAnswer(frame));
      if (read.kind === 'lost') this.#loseLink(read.reason);
    } catch (error) {
      const known = asGodwitError(error);
      if (known.code === 'GW_SYS_NO_ROOM') this.#retryAtMs = performance.now() + NO_MEMORY_RETRY_MS;
      else if (known.code.startsWith('GW_WIRE') || known.code === 'GW_MIGRATION_VERIFY') this.#loseLink(known.message);
      else throw error;
    }
  }

  #takeAnswer(frame: DecodedFrame): void {
    if (frame.type === FrameType.ping) {
      this.#mayAsk = true;
      this.#askAgain();
      this.#rehearse(0);
      return;
    }
    if (frame.type !== FrameType.pageReply) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', {
        frame: String(frame.type),
        reason: 'only page replies come here',
      });
    }
    const reply = decodePageReply(frame.payload, this.#input.pages.pageCount);
    if (reply.sequence >= REHEARSAL_SEQUENCE) {
      this.#rehearse(reply.sequence - REHEARSAL_SEQUENCE + 1);
      return;
    }
    passFaultPoint('pageAnswer');
    if (this.#pageDigest && reply.digests)
      this.#pageDigest.check(
        reply.runs.filter(({ kind }) => kind === 'data'),
        reply.data,
        reply.digests,
      );
    try {
      this.#place(reply);
    } catch (error) {
      this.#unplaced.push(...reply.runs);
      throw error;
    }
  }

  #place(reply: ReturnType<typeof decodePageReply>): void {
    let dataAt = 0;
    for (const run of reply.runs) {
      if (run.kind === 'data') {
        const bytes = run.count * PAGE_SIZE;
        const digests = reply.digests?.subarray((dataAt / PAGE_SIZE) * PAGE_DIGEST_BYTES);
        this.#pages += this.#installer.install([run], reply.data.subarray(dataAt, dataAt + bytes), digests);
        dataAt += bytes;
      } else if (run.kind === 'zero') {
        this.#pages += this.#installer.install([run], null);
      }
      for (let page = run.first; page < run.first + run.count; page++) {
        if (!this.#installer.isMissing(page)) this.#waiting.end(page);
      }
    }
  }

  /**
   * Asks for a page and drops the answer: both threads compile their code now instead of at the guest's first faults.
   * The VM may still run at the source, so what comes must not be installed.
   */
  #rehearse(done: number): void {
    const next = this.#rehearsal.next(done, performance.now());
    if (next) this.#channel?.send(encodePageRequest(REHEARSAL_SEQUENCE + done, next));
    else report({ kind: 'rehearsed' });
  }

  #loseLink(reason: string): void {
    this.#dropChannel();
    report({ kind: 'linkLost', reason });
  }

  #dropChannel(): void {
    const channel = this.#channel;
    if (!channel) return;
    this.#wireBytes += channel.bytesSent + channel.bytesReceived;
    channel[Symbol.dispose]();
    this.#channel = undefined;
  }

  /** Each time that nothing is missing any more; before the first list nothing is missing either. */
  #tellIfAllPresent(): void {
    const isAllPresent = this.#installer.remaining <= 0;
    if (isAllPresent && !this.#toldAllPresent) report({ kind: 'allPresent' });
    this.#toldAllPresent = isAllPresent;
  }

  #stop(): void {
    this.#dropChannel();
    this.#uffd[Symbol.dispose]();
    this.#control[Symbol.dispose]();
    report({
      kind: 'stopped',
      statistics: {
        faults: this.#waiting.latency.count,
        p50Microseconds: this.#waiting.latency.percentile(0.5),
        p99Microseconds: this.#waiting.latency.percentile(0.99),
        pages: this.#pages,
        wireBytes: this.#wireBytes,
        digest: { pages: this.#installer.digest.pages, words: this.#installer.digest.words },
      },
    });
  }
}

function report(message: FaultReport): void {
  parentPort!.postMessage(message);
}

try {
  new FaultService(await takeInput<FaultWorkerInput>()).run();
} catch (error) {
  report({ kind: 'failed', error: asGodwitError(error).toBody() });
}

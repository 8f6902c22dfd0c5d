/**
 * The source's thread that answers the write faults of a VM that is tracked in page groups (M1): blocking, real-time.
 *
 * Owns: the order of what it does, and what follows when it fails: the protection of all memory is lifted, so that the VM
 * runs on. Must hold: it never touches guest memory, never waits for QMP or for another thread, and never waits without
 * also watching its control descriptor; when the tracker is not heard of any more, nobody is slowed.
 */
import { existsSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { PidFd } from '../linux/pidfd.ts';
import { EventFd, Poller } from '../linux/poll.ts';
import { ProtectionMap } from '../linux/protection-map.ts';
import { LEASE_MS } from '../linux/throttle-lease.ts';
import { UserfaultfdRanges } from '../linux/userfaultfd-ranges.ts';
import { RamLayout } from '../memory/layout.ts';
import { WriteFaultService } from '../memory/write-fault-service.ts';
import { takeInput } from './thread-input.ts';
import { Alertness } from './thread-priority.ts';
import { Figure, Word, type WriteFaultInput, type WriteFaultReport } from './write-fault-words.ts';

/** A thread that is blocked in a call cannot be ended: so often it looks whether it is to. */
const BEAT_MS = 200;
/** QEMU has some threads that come and go; numbers are used again after many more. */
const MAX_KNOWN_THREADS = 256;

class WriteFaults implements Disposable {
  readonly #input: WriteFaultInput;
  readonly #resources = new DisposableStack();
  readonly #uffd: UserfaultfdRanges;
  readonly #layout: RamLayout;
  readonly #service: WriteFaultService;
  readonly #control: EventFd;
  readonly #collected: PageBitmap;
  /** Threads by whether their faults wait for their turn. */
  readonly #paced = new Map<number, boolean>();
  #renewals = 0;
  #renewedMs = performance.now();

  constructor(input: WriteFaultInput) {
    this.#input = input;
    this.#layout = RamLayout.fromJson(input.layout);
    this.#uffd = new UserfaultfdRanges(this.#resources.use(PidFd.open(input.pid)), { fd: input.fd });
    this.#control = EventFd.borrow(input.controlFd);
    this.#collected = new PageBitmap(this.#layout.pageCount, input.shared.collected);
    this.#service = new WriteFaultService({
      uffd: this.#uffd,
      layout: this.#layout,
      starts: input.starts,
      setting: input.setting,
      granted: new PageBitmap(this.#layout.pageCount, input.shared.granted),
      protection: input.canReturnMemory ? this.#resources.use(new ProtectionMap(input.pid)) : null,
      isPaced: (threadId) => this.#isPaced(threadId),
    });
  }

  /** Until it is told to stop. */
  run(): void {
    const { words } = this.#input.shared;
    const poller = new Poller([this.#uffd.fd, this.#control.fd]);
    const alertness = new Alertness();
    alertness.begin();
    report({ kind: 'ready' });
    for (;;) {
      poller.wait(Math.min(BEAT_MS, this.#service.dueInMs(performance.now())));
      // Before anything else: once it is to stop, the descriptor may be another one's.
      if (Atomics.load(words, Word.stop) !== 0) return;
      Atomics.add(words, Word.beats, 1);
      alertness.reconsider();
      if (poller.isReady(1)) this.#control.drain();
      const nowMs = performance.now();
      this.#followOrders(nowMs);
      if (poller.isReady(0)) this.#service.takeFaults(nowMs);
      this.#service.answerDue(nowMs);
      this.#collectIfAsked();
      this.#tellCounts();
    }
  }

  /** Nobody would be answered any more. */
  liftProtection(): void {
    for (const { index, bytes } of this.#layout.regions) this.#uffd.unregister(this.#input.starts[index]!, bytes);
  }

  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }

  #followOrders(nowMs: number): void {
    const { words, numbers } = this.#input.shared;
    const renewals = Atomics.load(words, Word.renewals);
    if (renewals !== this.#renewals) {
      this.#renewals = renewals;
      this.#renewedMs = nowMs;
    }
    const hasLease = nowMs - this.#renewedMs <= LEASE_MS;
    this.#service.setPace(hasLease ? numbers[Figure.pagesPerSecond]! : Number.POSITIVE_INFINITY, nowMs);
    this.#service.setBudget(numbers[Figure.budgetPages]!);
  }

  #collectIfAsked(): void {
    const { words } = this.#input.shared;
    const asked = Atomics.load(words, Word.asked);
    if (asked === Atomics.load(words, Word.answered)) return;
    this.#collected.clear();
    this.#collected.addRuns(this.#service.collect());
    Atomics.store(words, Word.answered, asked);
    Atomics.notify(words, Word.answered);
  }

  #tellCounts(): void {
    const { numbers } = this.#input.shared;
    const { faults, pacedFaults, smallestPages, largestPages } = this.#service.counts;
    numbers[Figure.faults] = faults;
    numbers[Figure.pacedFaults] = pacedFaults;
    numbers[Figure.smallestPages] = smallestPages;
    numbers[Figure.largestPages] = largestPages;
  }

  /** What is no thread of QEMU at all is one of the kernel's that brings a page for a vCPU (KVM). */
  #isPaced(threadId: number): boolean {
    const { vcpuTids, pid } = this.#input;
    const known = this.#paced.get(threadId);
    if (known !== undefined) return known;
    const isPaced = vcpuTids.includes(threadId) || !existsSync(`/proc/${pid}/task/${threadId}`);
    if (this.#paced.size >= MAX_KNOWN_THREADS) this.#paced.clear();
    this.#paced.set(threadId, isPaced);
    return isPaced;
  }
}

function report(message: WriteFaultReport): void {
  parentPort!.postMessage(message);
}

const input = await takeInput<WriteFaultInput>();
const { words } = input.shared;
try {
  using faults = new WriteFaults(input);
  try {
    faults.run();
  } catch (error) {
    // The tracker stops what it began by lifting the protection itself, while a fault is being answered.
    if (Atomics.load(words, Word.stop) === 0) {
      faults.liftProtection();
      throw error;
    }
  }
} catch (error) {
  report({ kind: 'failed', error: asGodwitError(error).toBody() });
} finally {
  Atomics.store(words, Word.failed, 1);
  Atomics.notify(words, Word.answered);
}

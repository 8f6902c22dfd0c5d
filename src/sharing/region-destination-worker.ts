/**
 * The destination's thread of a shared region: asks for the pages that its VMs miss, and puts them in place (R5, R6).
 *
 * Owns: the destination's side of the loop: who is attached, and when it is over. Must hold: on a new connection nothing is
 * said before the source has spoken, because until then another thread of the source has it; a region that has not begun
 * and whose source has gone is given up as soon as no VM waits here.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { closeFd, sendAll } from '../linux/socket.ts';
import { takeInput } from '../migration/thread-input.ts';
import { encodeControl } from '../wire/message-codec.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { ControlMessage } from '../wire/messages.ts';
import type { RegionConnection } from './region-connection.ts';
import {
  type DestinationRegion,
  type DestinationRegionEvent,
  openDestinationRegion,
  stepDestinationRegion,
} from './region-destination.ts';
import { RegionLoop, type RegionSide } from './region-loop.ts';
import { RegionMemory } from './region-memory.ts';
import type { LinkOrder, RegionDestinationInput, RegionDestinationOrder } from './region-orders.ts';
import type { RegionReport } from './region-report.ts';
import { Ended, report, sayGone } from './region-reporting.ts';
import { ASK_AGAIN_MS, LINGER_MS, WINDOW_PAGES } from './region-settings.ts';
import type { DestinationAction, PageAction, RegionMessage, RegionStep } from './region-words.ts';

type Own = Exclude<DestinationAction, PageAction>;

class DestinationThread implements RegionSide<Own, RegionDestinationOrder>, Disposable {
  readonly peerRole = 'source';
  readonly #input: RegionDestinationInput;
  readonly #region: DestinationRegion;
  readonly #loop: RegionLoop<Own, RegionDestinationOrder>;
  /** The source has spoken on the connection of now. */
  #isMet = false;
  #hasBegun = false;
  /** The source needs nothing more, or has given up. */
  #isOver = false;
  #lostAtMs = Number.POSITIVE_INFINITY;

  constructor(input: RegionDestinationInput) {
    this.#input = input;
    const memory = new RegionMemory(input.region, sayGone);
    const { pages } = memory;
    if (input.resumes === null && memory.has(0, pages)) {
      throw new GodwitError('GW_INTERNAL', { reason: `the file ${input.region.path} is not empty` });
    }
    this.#region = openDestinationRegion({ pages, windowPages: WINDOW_PAGES, askAgainMs: ASK_AGAIN_MS });
    this.#loop = new RegionLoop(input, memory, this);
    const { phase } = this.#loop.journal;
    this.#hasBegun = phase !== 'waiting';
    if (phase === 'told') this.#region.phase = 'complete';
    if (this.#hasBegun) this.#loop.pages.begin();
    if (input.fd === null) this.#lostAtMs = performance.now();
  }

  get table(): DestinationRegion['table'] {
    return this.#region.table;
  }

  run(): void {
    const { fd } = this.#input;
    // An earlier process had everything, and may not have told it.
    if (this.#region.phase === 'complete') report({ kind: 'completed', report: this.#summarize() });
    this.#loop.run(fd === null ? undefined : { kind: 'link', fd, answer: 'ready' });
  }

  step(event: DestinationRegionEvent): RegionStep<DestinationAction> {
    return stepDestinationRegion(this.#region, event);
  }

  /** Every page is here for good. */
  act(): void {
    this.#loop.pages.end();
    this.#loop.memory.release();
    this.#loop.journal.enter('told');
    report({ kind: 'completed', report: this.#summarize() });
  }

  obey(order: Exclude<RegionDestinationOrder, LinkOrder>): boolean {
    switch (order.kind) {
      case 'attach':
        this.#attach(order);
        return true;
      case 'detach':
        this.#loop.memory.drop(order.vm);
        return true;
      case 'report':
        report({ kind: 'answered', sequence: order.sequence, error: null, report: this.#summarize() });
        return true;
      case 'cancel':
        this.#loop.memory.release();
        report({ kind: 'cancelled' });
        return false;
    }
  }

  mayTake(message: RegionMessage): boolean {
    this.#meet();
    if (this.#hasBegun) return true;
    const reason = 'it comes before the source has said that the region begins to move';
    throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: message.kind, reason });
  }

  control(message: ControlMessage): void {
    switch (message.kind) {
      case 'ping':
      case 'pong':
        break;
      case 'regionBegin':
        this.#hasBegun = true;
        this.#loop.journal.enter('begun');
        this.#loop.pages.begin();
        break;
      case 'regionCancel':
        if (this.#hasBegun) throw invalid(message, 'the region has begun to move');
        this.#isOver = true;
        return;
      case 'release':
        if (this.#region.phase !== 'complete') throw invalid(message, 'pages are missing');
        this.#isOver = true;
        return;
      default:
        throw invalid(message, 'a source of a region says none');
    }
    this.#meet();
  }

  onLink(connection: RegionConnection, { answer }: LinkOrder): void {
    this.#isMet = false;
    this.#lostAtMs = Number.POSITIVE_INFINITY;
    const phase = this.#region.phase === 'complete' ? 'done' : 'pagingIn';
    if (answer === 'ready') connection.sayControl({ kind: 'regionReady', host: this.#input.hostName });
    else if (answer === 'joined') connection.sayControl({ kind: 'joined', phase, epoch: 0 });
  }

  onLost(): void {
    this.#lostAtMs = performance.now();
  }

  /** Nobody is stopped here. */
  missedWhileStopping(): number {
    return 0;
  }

  proceed(nowMs: number): number {
    const isComplete = this.#region.phase === 'complete';
    if (!this.#hasBegun && !this.#loop.connection && this.#loop.memory.watched.length === 0) {
      this.#isOver ||= this.#lostAtMs < nowMs;
    }
    if (this.#isOver || (isComplete && nowMs - this.#lostAtMs > LINGER_MS)) {
      if (!isComplete) {
        this.#loop.memory.release();
        report({ kind: 'cancelled' });
      }
      throw new Ended();
    }
    return Number.POSITIVE_INFINITY;
  }

  [Symbol.dispose](): void {
    this.#loop[Symbol.dispose]();
  }

  /** The source's thread listens from here on. */
  #meet(): void {
    if (this.#isMet) return;
    this.#isMet = true;
    this.#loop.take(this.step({ kind: 'linkBack', nowMs: performance.now() }));
    report({ kind: 'linkBack' });
  }

  #attach({ vm, insideFd, sequence }: Extract<RegionDestinationOrder, { kind: 'attach' }>): void {
    try {
      this.#loop.memory.attach(vm, insideFd);
      report({ kind: 'answered', sequence, error: null, report: null });
    } catch (error) {
      report({ kind: 'answered', sequence, error: asGodwitError(error).toBody(), report: null });
    }
  }

  #summarize(): RegionReport {
    const { table } = this.#region;
    return {
      region: this.#input.region.name,
      side: 'destination',
      pages: table.settings.pages,
      pagesHere: table.here,
      tally: { ...table.tally },
      stoppingAccesses: [],
      ...this.#loop.pages.summarize(this.#loop.connection?.bytes),
    };
  }
}

function invalid({ kind }: ControlMessage, reason: string): GodwitError {
  return new GodwitError('GW_WIRE_FRAME_INVALID', { frame: kind, reason });
}

/** The source waits for an answer to its offer. */
function open(input: RegionDestinationInput): DestinationThread {
  try {
    return new DestinationThread(input);
  } catch (error) {
    if (input.fd === null) throw error;
    sendAll(input.fd, encodeControl({ kind: 'refused', error: toWireError(error) }), { timeoutMs: 1000 });
    closeFd(input.fd);
    throw error;
  }
}

const input = await takeInput<RegionDestinationInput>();
try {
  using thread = open(input);
  thread.run();
} catch (error) {
  if (!(error instanceof Ended)) report({ kind: 'failed', error: asGodwitError(error).toBody() });
}

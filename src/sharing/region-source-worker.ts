/**
 * The source's thread of a shared region: gives its pages away, and tells which VM has to be stopped (R3, R4, R6).
 *
 * Owns: the source's side of the loop: holding back until the first VM has left, and pushing after the last one has.
 * Must hold: before `begin` nothing changes sides, and `cancel` leaves everything as it was found; what is pushed keeps to
 * the host's bandwidth, what is asked for waits for nobody.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { PageIndex } from '../base/page.ts';
import { takeInput } from '../migration/thread-input.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { hasNeverMoved } from './page-table.ts';
import type { RegionConnection } from './region-connection.ts';
import type { DestinationRegionEvent } from './region-destination.ts';
import { RegionLoop, type RegionSide } from './region-loop.ts';
import { RegionMemory } from './region-memory.ts';
import type { LinkOrder, RegionSourceInput, RegionSourceOrder } from './region-orders.ts';
import { RegionPushing } from './region-pushing.ts';
import type { RegionReport } from './region-report.ts';
import { Ended, report, sayGone } from './region-reporting.ts';
import { ASK_AGAIN_MS, COMPLETE_AT_PAGES, PUSH_WINDOW_PAGES, WINDOW_PAGES } from './region-settings.ts';
import { openSourceRegion, type SourceRegion, type SourceRegionEvent, stepSourceRegion } from './region-source.ts';
import type { PageAction, RegionMessage, RegionStep, SourceAction } from './region-words.ts';
import { missedWhileStopping } from './source-vms.ts';

type Own = Exclude<SourceAction, PageAction>;

/** The word that a VM has left may come later than the end of its QEMU. */
const LEFT_NEWS_MS = 2000;

class SourceThread implements RegionSide<Own, RegionSourceOrder>, Disposable {
  readonly peerRole = 'destination';
  readonly #input: RegionSourceInput;
  readonly #region: SourceRegion;
  readonly #loop: RegionLoop<Own, RegionSourceOrder>;
  readonly #pushing: RegionPushing;
  /** Asked for before anything may be given, by page. */
  readonly #held = new Map<PageIndex, RegionMessage>();
  /** VMs whose QEMU has ended, and when. */
  readonly #goneAtMs = new Map<string, number>();
  #hasBegun = false;
  #isFree = false;

  constructor(input: RegionSourceInput) {
    this.#input = input;
    const memory = new RegionMemory(input.region, (vm) => this.#goneAtMs.set(vm, performance.now()));
    this.#region = openSourceRegion({
      pages: memory.pages,
      windowPages: WINDOW_PAGES,
      askAgainMs: ASK_AGAIN_MS,
      pushWindowPages: PUSH_WINDOW_PAGES,
      completeAtPages: COMPLETE_AT_PAGES,
      vms: input.vms.map(({ vm, canStopInFault }) => ({ vm, canStopInFault })),
    });
    this.#pushing = new RegionPushing(this.#region, input.budget);
    this.#loop = new RegionLoop(input, memory, this);
    const { phase } = this.#loop.journal;
    this.#hasBegun = phase !== 'waiting';
    this.#region.completeSaid = phase === 'told';
    if (this.#hasBegun) this.#loop.pages.begin();
  }

  get table(): SourceRegion['table'] {
    return this.#region.table;
  }

  run(): void {
    const { memory } = this.#loop;
    try {
      const { resumes, vms } = this.#input;
      const fds = resumes ? this.#loop.watched : vms.map((vm) => [vm.vm, memory.watch(vm)] as const);
      report({ kind: 'watching', insideFds: fds, hasBegun: this.#hasBegun });
      this.#loop.run();
    } catch (error) {
      // Nothing has moved: nobody may wait for what would never come.
      if (!this.#hasBegun) memory.release();
      throw error;
    }
  }

  step(event: DestinationRegionEvent): RegionStep<SourceAction> {
    return stepSourceRegion(this.#region, event);
  }

  act(action: Own): void {
    if (action.kind === 'free') {
      this.#isFree = true;
      return;
    }
    const access = this.#region.stoppingAccesses.at(-1)!;
    report({ kind: 'stopVm', vm: action.vm, page: access.page, forGood: action.forGood, atMs: wallMsOf(access.atMs) });
  }

  obey(order: Exclude<RegionSourceOrder, LinkOrder>): boolean {
    switch (order.kind) {
      case 'begin':
        this.#begin();
        return true;
      case 'cancel':
        this.#cancel();
        return false;
      case 'report':
        report({ kind: 'answered', sequence: order.sequence, error: null, report: this.#summarize() });
        return true;
      case 'unknown':
        // With every page acknowledged and the end told it was there to the end. Else this is refused, and changes nothing.
        if (hasNeverMoved(this.table)) report({ kind: 'unmoved' });
        else this.#loop.take(this.step({ kind: 'received', message: { kind: 'completed' } }));
        return true;
      case 'over':
        this.#give({ kind: 'overThere' });
        return true;
      case 'vmOverdue':
        this.#give({ kind: 'vmOverdue', vm: order.vm, atMs: performance.now() });
        return true;
      default:
        this.#give({ kind: order.kind, vm: order.vm });
        return true;
    }
  }

  mayTake(message: RegionMessage): boolean {
    if (this.#hasBegun) return true;
    if (message.kind !== 'ask') {
      const reason = 'it comes before a page has been given';
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: message.kind, reason });
    }
    this.#held.set(message.page, message);
    return false;
  }

  control(message: ControlMessage): void {
    if (message.kind === 'ping' || message.kind === 'pong') return;
    throw new GodwitError('GW_WIRE_FRAME_INVALID', {
      frame: message.kind,
      reason: 'a destination of a region says none',
    });
  }

  onLink(connection: RegionConnection): void {
    this.#greet(connection);
    this.#loop.take(this.step({ kind: 'linkBack', nowMs: performance.now() }));
    report({ kind: 'linkBack' });
  }

  onLost(): void {
    // Asked again on the next one.
    this.#held.clear();
  }

  missedWhileStopping(vm: string): number {
    return missedWhileStopping(this.#region.vms, vm);
  }

  proceed(nowMs: number): number {
    if (this.#isFree) this.#leave();
    this.#tellGone(nowMs);
    this.#pushing.charge(this.#loop.pages.sent.dataPages);
    if (!this.#hasBegun || this.#loop.connection?.isPending !== false) return Number.POSITIVE_INFINITY;
    return this.#pushing.proceed(nowMs, (page) =>
      this.#loop.take(stepSourceRegion(this.#region, { kind: 'push', page })),
    );
  }

  [Symbol.dispose](): void {
    this.#loop[Symbol.dispose]();
  }

  /** One that has left is ended when its own memory has gone over, which is no news. */
  #tellGone(nowMs: number): void {
    for (const [vm, atMs] of this.#goneAtMs) {
      const hasLeft = this.#region.vms.find((each) => each.vm === vm)?.phase === 'left';
      if (!hasLeft && nowMs - atMs < LEFT_NEWS_MS) continue;
      this.#goneAtMs.delete(vm);
      if (!hasLeft) sayGone(vm);
    }
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#loop.journal.enter('begun');
    this.#loop.pages.begin();
    if (this.#loop.connection) this.#greet(this.#loop.connection);
    for (const message of this.#held.values()) {
      const rule = this.#loop.take(this.step({ kind: 'received', message }));
      if (rule !== undefined) this.#loop.lose(rule);
    }
    this.#held.clear();
  }

  #greet(connection: RegionConnection): void {
    if (this.#hasBegun) connection.sayControl({ kind: 'regionBegin' });
    else connection.sayControl({ kind: 'ping', token: 0, wallMs: SYSTEM_CLOCK.wallMs() });
  }

  /** What the daemon tells of its VMs. */
  #give(event: SourceRegionEvent): void {
    const rule = this.#loop.take(stepSourceRegion(this.#region, event));
    if (rule !== undefined) report({ kind: 'noted', text: `Region ${this.#input.region.name}: ${rule}` });
  }

  #cancel(): void {
    this.#loop.connection?.sayControl({ kind: 'regionCancel' });
    this.#loop.connection?.flush();
    this.#loop.memory.release();
    report({ kind: 'cancelled' });
  }

  /** The destination has everything. */
  #leave(): void {
    this.#loop.pages.end();
    this.#loop.connection?.sayControl({ kind: 'release' });
    this.#loop.connection?.flush();
    this.#loop.memory.release();
    report({ kind: 'completed', report: this.#summarize() });
    throw new Ended();
  }

  #summarize(): RegionReport {
    const { table, stoppingAccesses } = this.#region;
    const { pages } = this.#loop;
    return {
      region: this.#input.region.name,
      side: 'source',
      pages: table.settings.pages,
      pagesHere: table.here,
      tally: { ...table.tally },
      stoppingAccesses: stoppingAccesses.map(({ vm, page, atMs }) => ({ vm, page, ms: pages.sinceBeginMs(atMs) })),
      ...pages.summarize(this.#loop.connection?.bytes),
    };
  }
}

/** Of a reading of this thread's clock, which no other thread has. */
function wallMsOf(ms: number): number {
  return SYSTEM_CLOCK.wallMs() - performance.now() + ms;
}

const input = await takeInput<RegionSourceInput>();
try {
  using thread = new SourceThread(input);
  thread.run();
} catch (error) {
  if (!(error instanceof Ended)) report({ kind: 'failed', error: asGodwitError(error).toBody() });
}

/**
 * The one handler of a shared region on one host: events in, the pure step, its actions; all in one order, without the
 * event loop, because each page that somebody waits for goes through here twice.
 *
 * Owns: what it waits for, the connection of now, and the order of everything. What only one side does is behind
 * `RegionSide`. Must hold (docs/sharing.md, "The mechanism must"): the actions of a step are done in their order before the next
 * event; of a connection that was lost nothing more is heard; a page is acknowledged when it is in place, however
 * long the host has no memory for it.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { PageIndex } from '../base/page.ts';
import { letGoAbandoned } from '../linux/attachment.ts';
import { EventFd } from '../linux/poll.ts';
import { Alertness } from '../migration/thread-priority.ts';
import type { PeerRole } from '../wire/frame-types.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { isLent, type PageTable } from './page-table.ts';
import { RegionConnection } from './region-connection.ts';
import type { DestinationRegionEvent } from './region-destination.ts';
import { RegionFaults } from './region-faults.ts';
import type { RegionJournal } from './region-journal.ts';
import type { Placing, RegionMemory } from './region-memory.ts';
import type { LinkOrder, RegionThreadInput } from './region-orders.ts';
import { RegionPages } from './region-pages.ts';
import { Ended, report } from './region-reporting.ts';
import { type RegionKeeping, startKeeping } from './region-start.ts';
import { RegionWaiting } from './region-waiting.ts';
import { isPageAction, type PageAction, type RegionMessage, type RegionStep } from './region-words.ts';

/** So often time is told to the step, and is looked whether everybody lives. */
const BEAT_MS = 200;
const NO_MEMORY_RETRY_MS = 20;

/** An action of one side alone. */
type OwnAction = { readonly kind: string };

export interface RegionSide<Own extends OwnAction, Order extends { readonly kind: string }> {
  readonly peerRole: PeerRole;
  readonly table: PageTable;
  step(event: DestinationRegionEvent): RegionStep<PageAction | Own>;
  act(action: Own): void;
  /** False: the thread has done its work. */
  obey(order: Exclude<Order, LinkOrder>): boolean;
  /** False: not yet; the message is the side's to remember. */
  mayTake(message: RegionMessage): boolean;
  /** @throws GW_WIRE_FRAME_INVALID for what the peer must not say now */
  control(message: ControlMessage): void;
  /** A connection is there; the first words on it are this side's. */
  onLink(connection: RegionConnection, order: LinkOrder): void;
  onLost(): void;
  /** How many pages a VM has missed since it was to be stopped. */
  missedWhileStopping(vm: string): number;
  /** Whatever is to be done unasked. Returns in how many milliseconds again. */
  proceed(nowMs: number): number;
}

export class RegionLoop<Own extends OwnAction, Order extends { readonly kind: string }> implements Disposable {
  readonly memory: RegionMemory;
  readonly pages: RegionPages;
  readonly journal: RegionJournal;
  readonly watched: RegionKeeping['watched'];
  readonly #input: RegionThreadInput;
  readonly #side: RegionSide<Own, Order>;
  readonly #waiting: RegionWaiting;
  readonly #faults: RegionFaults;
  #connection: RegionConnection | undefined;
  #beatMs = 0;

  constructor(input: RegionThreadInput, memory: RegionMemory, side: RegionSide<Own, Order>) {
    this.#input = input;
    this.memory = memory;
    this.#side = side;
    this.#waiting = new RegionWaiting(EventFd.borrow(input.controlFd));
    this.#faults = new RegionFaults(memory, {
      missedWhileStopping: (vm) => side.missedWhileStopping(vm),
      accessed: (page, vm) => this.#accessed(page, vm),
    });
    const keeping = startKeeping(input, memory, side.table);
    this.journal = keeping.journal;
    this.watched = keeping.watched;
    this.pages = new RegionPages(memory, keeping);
  }
  get connection(): RegionConnection | undefined {
    return this.#connection;
  }
  /** Until the side has done its work, or `Ended`. @param first - a connection that is there */
  run(first?: LinkOrder): void {
    const alertness = new Alertness();
    alertness.begin();
    // Nothing is linked before the first connection is there, though the protocol begins so.
    this.take(this.#side.step({ kind: 'linkLost' }));
    if (first) this.#link(first);
    for (let waitMs = 0; ; ) {
      this.#waiting.wait(this.#connection, this.memory.watched, this.#faults.heldBack(), waitMs);
      if (Atomics.load(this.#input.stop, 0) !== 0) throw new Ended();
      alertness.reconsider();
      if (this.#waiting.takeOrdered() && !this.#obey()) return;
      this.#read();
      this.#faults.take(this.#waiting);
      const nowMs = performance.now();
      this.#beat(nowMs);
      this.#flush();
      // No timer of this thread ever fires.
      waitMs = Math.min(BEAT_MS, this.#side.proceed(nowMs), letGoAbandoned());
      this.#flush();
    }
  }

  /** Carries out a step. Returns the rule that the event broke, if it did. */
  take(step: RegionStep<PageAction | Own>): string | undefined {
    if (step.kind === 'refused') return step.rule;
    for (const action of step.actions) {
      if (isPageAction(action)) this.#carryOut(action);
      else this.#side.act(action);
    }
    return undefined;
  }

  /** Ends the connection; both sides keep what they have. */
  lose(reason: string): void {
    const connection = this.#connection;
    if (!connection) return;
    this.#connection = undefined;
    this.pages.addBytes(connection.bytes);
    connection[Symbol.dispose]();
    this.take(this.#side.step({ kind: 'linkLost' }));
    this.pages.unlinked();
    report({ kind: 'linkLost', reason });
    this.#side.onLost();
  }

  [Symbol.dispose](): void {
    this.#connection?.[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    this.journal[Symbol.dispose]();
  }

  #obey(): boolean {
    for (let next = receiveMessageOnPort(parentPort!); next; next = receiveMessageOnPort(parentPort!)) {
      const order = next.message as Order | LinkOrder;
      if (order.kind === 'link') this.#link(order as LinkOrder);
      else if (!this.#side.obey(order as Exclude<Order, LinkOrder>)) return false;
    }
    return true;
  }

  #link(order: LinkOrder): void {
    this.lose('another connection has replaced it');
    const { pages } = this.memory;
    this.#connection = new RegionConnection(order.fd, this.#side.peerRole, pages);
    this.pages.linked();
    this.#side.onLink(this.#connection, order);
  }

  #read(): void {
    const connection = this.#connection;
    if (!connection || !this.#waiting.canRead(connection)) return;
    try {
      const lost = connection.read({
        message: (message, data) => this.#hear(message, data),
        control: (message) => this.#side.control(message),
      });
      if (lost !== undefined) this.lose(lost);
    } catch (error) {
      const known = asGodwitError(error);
      if (!known.code.startsWith('GW_WIRE_')) throw known;
      this.lose(known.message);
    }
  }

  #hear(message: RegionMessage, data: Uint8Array | null): void {
    if (!this.#side.mayTake(message)) return;
    const { asked } = this.#side.table;
    this.pages.inHand = { data, isWanted: message.kind === 'page' && asked.has(message.page) };
    if (message.kind === 'page') this.pages.count('received', data);
    const rule = this.take(this.#side.step({ kind: 'received', message }));
    if (rule !== undefined) throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: message.kind, reason: rule });
  }

  #accessed(page: PageIndex, vm: string): void {
    const atMs = performance.now();
    this.pages.times.begin(page, atMs, isLent(this.#side.table, page));
    const rule = this.take(this.#side.step({ kind: 'accessed', page, vm, atMs }));
    if (rule !== undefined) throw new GodwitError('GW_INTERNAL', { reason: rule });
  }

  #beat(nowMs: number): void {
    if (nowMs < this.#beatMs) return;
    this.#beatMs = nowMs + BEAT_MS;
    this.memory.dropEnded();
    const connection = this.#connection;
    const lost = connection?.keepAlive(nowMs);
    if (lost !== undefined) this.lose(lost);
    // What has not even left need not be said again.
    if (!connection?.isPending) this.take(this.#side.step({ kind: 'timePassed', nowMs }));
  }

  #flush(): void {
    const lost = this.#connection?.flush();
    if (lost !== undefined) this.lose(lost);
  }

  #carryOut(action: PageAction): void {
    switch (action.kind) {
      case 'takeAway':
        this.pages.takeAway(action.page);
        return;
      case 'send': {
        const { message } = action;
        if (message.kind === 'page') this.pages.count('sent', this.pages.copyOf(message.page));
        if (message.kind === 'complete') this.journal.enter('told');
        this.#connection?.say(message, (page) => this.pages.copyOf(page));
        return;
      }
      case 'forget':
        this.pages.forget(action.page);
        return;
      case 'install':
        this.#insist(() => this.pages.install(action.page));
        this.pages.times.end(action.page);
        return;
      case 'wake':
        this.#insist(() => this.memory.settle(action.page, action.vm));
        this.pages.times.end(action.page);
        return;
    }
  }

  /** A full host is waited out; the other side hears meanwhile that this one lives. */
  #insist(place: () => Placing): void {
    for (let fromMs: number | undefined; place() === 'noMemory'; ) {
      if (fromMs === undefined) report({ kind: 'noted', text: `Region ${this.#input.region.name} waits for memory` });
      const nowMs = performance.now();
      fromMs ??= nowMs;
      Atomics.wait(this.#input.stop, 0, 0, NO_MEMORY_RETRY_MS);
      if (Atomics.load(this.#input.stop, 0) !== 0) throw new Ended();
      this.#connection?.keepAlive(nowMs);
      this.#connection?.flush();
      this.pages.waitedForMemory(performance.now() - nowMs);
    }
  }
}

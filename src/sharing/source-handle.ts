/**
 * The source of a shared region, seen from the daemon's main thread: its thread, and the dialling for it.
 *
 * Owns: in what order things begin, and who decides that nothing has: this thread alone knows whether `begin` was called. Must
 * hold: a link that is lost before ends nothing by itself, because a VM may be committed in the same moment; who is told of it
 * either cancels or begins all the same, and only then it is dialled again.
 */
import { asGodwitError, type ErrorBody, GodwitError } from '../base/errors.ts';
import { closeFd } from '../linux/socket.ts';
import type { MessageBody } from '../wire/messages.ts';
import { offerRegion, type RegionRoute, redialRegion } from './region-dialer.ts';
import type { RegionSourceInput, RegionSourceOrder, RegionWord } from './region-orders.ts';
import type { RegionReport } from './region-report.ts';
import { RegionThread } from './region-thread.ts';
import type { RegionSourceEvent, RegionSourceHandle, RegionSourceOptions } from './region-threads.ts';

type Word = Exclude<RegionWord, { kind: 'answered' }>;

export class SourceHandle implements RegionSourceHandle {
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  readonly #options: RegionSourceOptions;
  readonly #thread: RegionThread<RegionSourceOrder>;
  readonly #life = new AbortController();
  readonly #watching = Promise.withResolvers<void>();
  #phase: 'opening' | 'ready' | 'begun' | 'over' = 'opening';
  #isRelinked: boolean;
  #hasBegun: boolean;
  #isLinked = false;
  /** The destination has given up a region of which it never had a page. */
  #offersAnew = false;

  constructor(options: RegionSourceOptions) {
    this.#options = options;
    this.#isRelinked = options.resumes !== null;
    // Until the thread knows better: what may have moved must not be given up.
    this.#hasBegun = options.resumes !== null;
    const { region, hostName, vms, journal, resumes, budget = null } = options;
    const place = { region, hostName, journal, resumes };
    const input: Omit<RegionSourceInput, 'controlFd' | 'stop'> = { ...place, vms, budget };
    this.#thread = new RegionThread<RegionSourceOrder>('../sharing/region-source-worker', input, {
      onWord: (word) => this.#hear(word),
      onDied: (error) => this.#fail(error.toBody()),
    });
    this.ended = this.#thread.exited.then(() => this.#life.abort());
    this.ready = this.#open();
    // Who does not wait for it hears of it by an event, or has cancelled.
    this.ready.catch(() => undefined);
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(): void {
    if (this.#phase === 'begun') return;
    if (this.#phase !== 'ready') throw this.#conflict(`it is ${this.#phase}`);
    this.#phase = 'begun';
    this.#hasBegun = true;
    this.#thread.order({ kind: 'begin' });
    if (!this.#isLinked) void this.#redial();
  }

  vmStopped(vm: string): void {
    this.#thread.order({ kind: 'vmStopped', vm });
  }

  vmLeft(vm: string): void {
    this.#thread.order({ kind: 'vmLeft', vm });
  }

  vmContinued(vm: string): void {
    this.#thread.order({ kind: 'vmContinued', vm });
  }

  vmOverdue(vm: string): void {
    this.#thread.order({ kind: 'vmOverdue', vm });
  }

  async report(): Promise<RegionReport> {
    return (await this.#thread.ask({ kind: 'report' }))!;
  }

  async abandon(): Promise<void> {
    this.#life.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    this.#phase = 'over';
    this.#thread.stop();
    await this.ended;
  }

  async cancel(): Promise<void> {
    if (this.#phase === 'begun') throw this.#conflict('pages have changed hosts');
    this.#giveUp(new GodwitError('GW_MIGRATION_CANCELLED'));
    await this.ended;
  }

  async #open(): Promise<void> {
    try {
      await this.#watching.promise;
      if (this.#options.resumes) return this.#resume();
      const fd = await offerRegion(this.#route, this.#offer);
      if (this.#life.signal.aborted) {
        closeFd(fd);
        throw this.#life.signal.reason;
      }
      this.#phase = 'ready';
      this.#link(fd);
    } catch (error) {
      const reason = this.#life.signal.aborted ? this.#life.signal.reason : error;
      this.#giveUp(asGodwitError(reason));
      await this.ended;
      throw asGodwitError(reason);
    }
  }

  /** The destination has accepted it long ago. */
  #resume(): void {
    if (this.#phase !== 'opening') return;
    this.#phase = this.#hasBegun ? 'begun' : 'ready';
    if (this.#hasBegun) void this.#redial();
  }

  #watched(insideFds: ReadonlyMap<string, number>): void {
    try {
      this.#options.onWatched(insideFds);
      this.#watching.resolve();
    } catch (error) {
      this.#watching.reject(error);
    }
  }

  #link(fd: number): void {
    this.#isLinked = true;
    this.#offersAnew = false;
    this.#thread.order({ kind: 'link', fd, answer: null });
  }

  get #offer(): MessageBody<'offerRegion'> {
    const { group, sessionKey, region, hostName, vms } = this.#options;
    const { name, bytes } = region;
    return { group, sessionKey, sourceHost: hostName, region: { name, bytes }, vms: vms.map(({ vm }) => vm) };
  }

  get #route(): RegionRoute {
    const { to, hostName, dscp, tls, sessionKey } = this.#options;
    return { to, hostName, dscp, tls, sessionKey, life: this.#life.signal };
  }

  #hear(word: Word): void {
    switch (word.kind) {
      case 'watching':
        this.#hasBegun = word.hasBegun;
        this.#watched(new Map(word.insideFds));
        return;
      case 'linkLost':
        this.#lose(word.reason);
        return;
      case 'linkBack':
        if (this.#isRelinked) this.#emit(word);
        this.#isRelinked = true;
        return;
      case 'unmoved':
        // One of two answers to the same question may come when the offer has been taken.
        this.#offersAnew = !this.#isLinked;
        return;
      case 'failed':
        this.#fail(word.error);
        return;
      case 'completed':
        this.#phase = 'over';
        this.#emit(word);
        return;
      case 'cancelled':
        return;
      default:
        this.#emit(word);
    }
  }

  #lose(reason: string): void {
    this.#isLinked = false;
    if (this.#phase !== 'ready' && this.#phase !== 'begun') return;
    this.#emit({ kind: 'linkLost', reason });
    if (this.#phase === 'begun') void this.#redial();
  }

  async #redial(): Promise<void> {
    const fd = await redialRegion(this.#route, {
      note: (text) => this.#emit({ kind: 'noted', text }),
      onUnknown: () => this.#thread.order({ kind: 'unknown' }),
      onOver: () => this.#thread.order({ kind: 'over' }),
      takeOffer: () => {
        const offer = this.#offersAnew ? this.#offer : undefined;
        // Once: its answer may be lost, and it is there then.
        this.#offersAnew = false;
        return offer;
      },
    });
    if (fd !== undefined) this.#link(fd);
  }

  /** Where nothing has moved the thread releases everything. Else all stays as it is: without a watch a missing page reads as zeros. */
  #giveUp(reason: GodwitError): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#life.abort(reason);
    this.#watching.reject(reason);
    if (this.#hasBegun) this.#thread.stop();
    else this.#thread.order({ kind: 'cancel' });
  }

  #fail(error: ErrorBody): void {
    const wasOpening = this.#phase === 'opening';
    const wasOver = this.#phase === 'over';
    this.#phase = 'over';
    this.#life.abort(GodwitError.fromBody(error));
    this.#watching.reject(GodwitError.fromBody(error));
    // `ready` tells it.
    if (!wasOpening && !wasOver) this.#emit({ kind: 'failed', error });
  }

  #emit(event: RegionSourceEvent): void {
    this.#options.onEvent(event);
  }

  #conflict(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'Region', name: this.#options.region.name, reason });
  }
}

/**
 * Every VM's history of how it writes, kept while no migration has it (B1).
 *
 * Owns: when a VM is looked at, and what is written into its history file. Must hold: a VM that somebody else wants
 * (a migration, a check) is not tracked by the time that he has it; looks at a VM come at uneven intervals, or a rhythm of seconds
 * would look like one of minutes (fleet/period.ts); what goes wrong here is logged once and harms nothing else.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HistoryView } from '../api/history-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { DirtySampler, type OpenWindow, type SampledVm, type WindowOutcome } from '../migration/dirty-sampler.ts';
import { sampleOf } from '../migration/dirty-window.ts';
import { HistoryFile } from '../migration/history-file.ts';
import { writeDownRam } from '../migration/known-ram.ts';
import { vmPaths } from '../migration/vm-record.ts';
import { inspectRam, movableRam } from '../qemu/ram.ts';
import type { Logger } from './logger.ts';
import type { Vm } from './vm.ts';

export interface DirtySamplingPort {
  readonly stateDirectory: string;
  /** As it was asked for between two looks at a VM, on average; 0: none are taken. */
  readonly everyMs: number;
  readonly keepMs: number;
  readonly log: Logger;
  /** Those of now. */
  vms(): readonly Vm[];
}

type Sampler = Pick<DirtySampler, 'begin' | typeof Symbol.dispose>;

interface SamplingParts {
  openSampler(): Sampler;
  locate(vm: Vm): Promise<SampledVm>;
  /** From 0 to 1. */
  random(): number;
}

const LOOK_EVERY_MS = 1000;
/** On average: a look takes three seconds, and looks that come one after the other come evenly. */
const LEAST_EVERY_MS = 6000;
/**
 * VMs that are watched at the same time; the others wait for their turn. More than four only where these would not get through all VMs
 * in time (60 of them in a minute), and no more than sixteen: each costs the host what it costs its VM.
 */
const FEWEST_OPEN = 4;
const MOST_OPEN = 16;
/** What a look takes up of one of these turns: three seconds, and what it waits for the next one to be begun. */
const TURN_MS = 4000;
/** Ending a window takes milliseconds; whoever wants the VM waits no longer. */
const RELEASE_MS = 2000;

export class DirtySampling implements Disposable {
  readonly #port: DirtySamplingPort;
  readonly #parts: SamplingParts;
  readonly #timer: NodeJS.Timeout | undefined;
  #sampler: Sampler | undefined;
  /** When each is due next. */
  readonly #due = new WeakMap<Vm, number>();
  /** By the VM's name: resolves when it is not tracked any more. */
  readonly #open = new Map<string, { release(): Promise<void> }>();
  readonly #told = new WeakSet<Vm>();
  #isHopeless = false;
  #isOver = false;

  /** @param parts - what reaches VMs, and chance; else the real ones */
  constructor(port: DirtySamplingPort, parts: SamplingParts = REAL_PARTS) {
    this.#port = port;
    this.#parts = parts;
    if (port.everyMs > 0) this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** Somebody is about to take the VM: resolves when it is not tracked. Throws GW_CONFLICT when that does not come about. */
  async release(name: string): Promise<void> {
    const open = this.#open.get(name);
    if (!open) return;
    const late = delay(RELEASE_MS, 'late', { ref: false });
    if ((await Promise.race([open.release(), late])) !== 'late') return;
    const reason = `a look at how it writes has not ended within ${RELEASE_MS} ms: try again`;
    throw new GodwitError('GW_CONFLICT', { kind: 'VM', name, reason });
  }

  /** What is known of the VM, oldest first. */
  historyOf(vm: Vm): HistoryView {
    const { keepMs } = this.#port;
    const file = this.#fileOf(vm);
    return {
      vm: vm.name,
      everyMs: this.#everyMs(),
      keepMs,
      memoryBytes: vm.record.memoryBytes,
      peakPagesPerSecond: file.peakPagesPerSecond(Date.now()),
      samples: file.known.samples.map(({ atMs, pagesPerSecond, ms = null, points = [] }) => ({
        atMs,
        pagesPerSecond,
        ms,
        points: [...points],
      })),
    };
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#sampler?.[Symbol.dispose]();
  }

  /** Between two looks at a VM, on average: longer than was asked for where there is no time for all. */
  #everyMs(): number {
    const { everyMs } = this.#port;
    if (everyMs === 0) return 0;
    return Math.max(everyMs, LEAST_EVERY_MS, Math.ceil((this.#atWork().length * TURN_MS) / MOST_OPEN));
  }

  #mostOpen(): number {
    const needed = Math.ceil((this.#atWork().length * TURN_MS) / Math.max(this.#port.everyMs, LEAST_EVERY_MS));
    return Math.min(MOST_OPEN, Math.max(FEWEST_OPEN, needed));
  }

  #atWork(): readonly Vm[] {
    return this.#port.vms().filter((vm) => vm.isAtWork);
  }

  #look(): void {
    const nowMs = performance.now();
    const waiting = this.#atWork().filter((vm) => !this.#open.has(vm.name));
    // Where there are more VMs than can be looked at in time, each has its turn: none is always the last.
    const due = waiting
      .filter((vm) => nowMs >= this.#dueOf(vm, nowMs))
      .toSorted((a, b) => this.#due.get(a)! - this.#due.get(b)!);
    const mostOpen = this.#mostOpen();
    for (const vm of due) {
      if (this.#isHopeless || this.#open.size >= mostOpen) return;
      this.#sample(vm);
    }
  }

  #dueOf(vm: Vm, nowMs: number): number {
    // One that has just come is busy settling; and those that are there when a daemon starts have their turns apart.
    const due = this.#due.get(vm) ?? nowMs + this.#port.everyMs * (0.5 + this.#parts.random() / 2);
    this.#due.set(vm, due);
    return due;
  }

  #sample(vm: Vm): void {
    this.#due.set(vm, performance.now() + this.#everyMs() * (0.5 + this.#parts.random()));
    let window: OpenWindow | undefined;
    let isReleased = false;
    const done = (async () => {
      const sampled = await this.#parts.locate(vm);
      if (isReleased || this.#isOver) return;
      // Not before: a host without VMs needs no thread.
      this.#sampler ??= this.#parts.openSampler();
      window = this.#sampler.begin(sampled);
      this.#take(vm, await window.ended);
    })()
      .catch((error: unknown) => {
        if (!isReleased) this.#tell(vm, explain(error));
      })
      .finally(() => this.#open.delete(vm.name));
    const release = async (): Promise<void> => {
      isReleased = true;
      // A QEMU that does not answer is not tracked, and is not waited for.
      await window?.end();
      if (window) await done;
    };
    this.#open.set(vm.name, { release });
  }

  #take(vm: Vm, outcome: WindowOutcome): void {
    if ('failure' in outcome) {
      this.#isHopeless ||= outcome.isHopeless;
      if (!vm.isEnding) this.#tell(vm, outcome.failure);
      return;
    }
    const sample = sampleOf(outcome.points, Date.now());
    if (sample === null || vm.hasEnded) return;
    const file = this.#fileOf(vm);
    file.addSampled(sample, this.#port.keepMs);
    file.save();
  }

  #fileOf(vm: Vm): HistoryFile {
    return new HistoryFile(vmPaths(this.#port.stateDirectory, vm.name, '.').history);
  }

  #tell(vm: Vm, reason: string): void {
    if (this.#isOver || this.#told.has(vm)) return;
    this.#told.add(vm);
    const { log } = this.#port;
    if (this.#isHopeless) log.warn({ reason }, 'how VMs write cannot be sampled here; only migrations tell');
    else log.warn({ vm: vm.name, reason }, 'how the VM writes cannot be sampled');
  }
}

/**
 * What of a VM can be watched.
 *
 * @throws GW_CONFLICT for RAM of another kind: on huge pages of their own (hugetlbfs) watching can hang kernels before the fixes of 2026
 */
async function locate(vm: Vm): Promise<SampledVm> {
  const { pid, startTicks } = vm.record;
  const { ram } = await inspectRam(await vm.reach(), pid);
  const other = ram.find(({ shared, place }) => !shared || place?.fileSystem !== 'tmpfs');
  if (!other) return { qemu: { pid, startTicks }, regions: writeDownRam(movableRam(ram, pid)) };
  throw new GodwitError('GW_CONFLICT', { kind: 'RAM', name: other.id, reason: 'it is no shared file on tmpfs' });
}

const REAL_PARTS: SamplingParts = { openSampler: () => new DirtySampler(), locate, random: Math.random };

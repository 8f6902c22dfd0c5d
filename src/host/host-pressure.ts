/**
 * How busy this host and its VMs are, as means of the last minute.
 *
 * Must hold: asking reads some small files of /proc and nothing else; a VM that has just come is told of by the time that it was
 * seen.
 */
import { totalmem } from 'node:os';
import type { PressureView } from '../api/fleet-schema.ts';
import { type CpuReading, countCpus, readCpus, readStallPart } from '../linux/host-load.ts';
import { availableMemoryBytes } from '../linux/memory-room.ts';
import { readCpuMs } from '../linux/process.ts';
import type { Vm } from './vm.ts';

const READ_EVERY_MS = 5_000;
const KEPT_READINGS = 12;

interface Reading extends CpuReading {
  readonly vms: ReadonlyMap<Vm, number>;
}

export class HostPressure implements Disposable {
  readonly #vms: () => readonly Vm[];
  readonly #timer: NodeJS.Timeout;
  readonly #cpus: number = countCpus();
  /** Oldest first. */
  readonly #readings: Reading[] = [];

  constructor(vms: () => readonly Vm[]) {
    this.#vms = vms;
    this.#read();
    this.#timer = setInterval(() => this.#read(), READ_EVERY_MS).unref();
  }

  view(): PressureView {
    const cpus = this.#cpus;
    const [first, last] = [this.#readings[0]!, readCpus()];
    const spanMs = Math.max(1, last.atMs - first.atMs);
    const [totalBytes, availableBytes] = [totalmem(), Math.min(totalmem(), availableMemoryBytes())];
    return {
      cpus,
      cpuPart: clamp(1 - (last.idleMs - first.idleMs) / (spanMs * cpus)),
      memoryBytes: totalBytes,
      memoryPart: clamp(1 - availableBytes / totalBytes),
      cpuStallPart: readStallPart('cpu'),
      memoryStallPart: readStallPart('memory'),
    };
  }

  /** CPUs that it uses; null: it has not been seen for long enough. */
  cpusOf(vm: Vm): number | null {
    const first = this.#readings.find(({ vms }) => vms.has(vm));
    const usedMs = readCpuMs(vm.record.pid);
    if (!first || usedMs === undefined) return null;
    const spanMs = performance.now() - first.atMs;
    return spanMs < READ_EVERY_MS / 2 ? null : Math.max(0, usedMs - first.vms.get(vm)!) / spanMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #read(): void {
    const used = this.#vms().flatMap((vm): [Vm, number][] => {
      const ms = readCpuMs(vm.record.pid);
      return ms === undefined ? [] : [[vm, ms]];
    });
    this.#readings.push({ ...readCpus(), vms: new Map(used) });
    if (this.#readings.length > KEPT_READINGS) this.#readings.shift();
  }
}

function clamp(part: number): number {
  return Math.min(1, Math.max(0, part));
}

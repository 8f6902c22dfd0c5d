/**
 * This host as a planner sees it.
 *
 * Owns: the samples of VMs' contents, read again when a VM was looked through again, and which of them whoever asks has already. Must hold: asking changes nothing, and
 * a VM of which something cannot be told is told of without it; what a VM on its way to here has taken is no less room for it; no more room is told of than a new VM is let into
 * (linux/memory-room.ts).
 */
import { randomUUID } from 'node:crypto';
import { statfsSync, statSync } from 'node:fs';
import type { MigrationView } from '../api/migration-schema.ts';
import type { OutlookQuestion, OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { availableMemoryBytes } from '../linux/memory-room.ts';
import { linksPathIn, readLinks } from '../migration/known-links-file.ts';
import { samplesPathIn } from '../migration/live-contents.ts';
import { readSamples } from '../migration/scanned-sample.ts';
import { findRamFiles } from '../qemu/ram.ts';
import type { DirtySampling } from './dirty-sampling.ts';
import type { HostPressure } from './host-pressure.ts';
import type { Vm } from './vm.ts';

export interface OutlookPort {
  readonly hostName: string;
  readonly stateDirectory: string;
  /** Of what the scanner has found (migration/live-contents.ts). */
  readonly contentsDirectory: string;
  /** Whether there is a scanner. */
  readonly looksThrough: boolean;
  readonly sampling: DirtySampling;
  readonly pressure: HostPressure;
  vms(): readonly Vm[];
  /** QEMUs of VMs on their way to here, which are not among `vms` yet. */
  arrivingPids(): readonly number[];
  /** Migrations that run. */
  migrations(): readonly MigrationView[];
  migrationAddress(): string;
  bandwidthBytesPerSecond(): number;
}

interface RoomMeasure {
  freeBytes(): number;
  takenBytes(pid: number): number;
}

/** Where hosts make the RAM files of VMs that come. */
const RAM_DIRECTORY = '/dev/shm';
/** What a QEMU needs besides: as much is to be left of memory. */
const OVERHEAD_BYTES = 64 * 2 ** 20;
const BLOCK_BYTES = 512;

interface KnownSample {
  readonly scannedAtMs: number;
  readonly text: string;
  /** The how-manieth it was of all that were read. */
  readonly number: number;
}

/** Samples that are told: by their numbers, after the one up to the other. */
interface Piece {
  readonly after: number;
  readonly upTo: number;
}

export class Outlook {
  readonly #port: OutlookPort;
  readonly #measure: RoomMeasure;
  readonly #samples = new WeakMap<Vm, KnownSample>();
  /** Of this daemon: what the one before it has told says nothing of what this one has read. */
  readonly #id: string = randomUUID();
  #read = 0;

  /** @param measure - tests have no QEMU */
  constructor(port: OutlookPort, measure: RoomMeasure = { freeBytes, takenBytes }) {
    this.#port = port;
    this.#measure = measure;
  }

  view(question: OutlookQuestion): OutlookView {
    const { hostName, stateDirectory } = this.#port;
    const vms = this.#port.vms().map((vm) => ({ vm, taken: this.#measure.takenBytes(vm.record.pid) }));
    const told = question.isBrief ? null : this.#piece(question);
    const takenByAll = vms.reduce((sum, { taken }) => sum + taken, 0);
    const takenByComing = this.#port.arrivingPids().reduce((sum, pid) => sum + this.#measure.takenBytes(pid), 0);
    return {
      host: hostName,
      migration: this.#port.migrationAddress(),
      memoryBytes: this.#measure.freeBytes() + takenByAll + takenByComing,
      pressure: this.#port.pressure.view(),
      bandwidthBytesPerSecond: this.#port.bandwidthBytesPerSecond(),
      ways: Object.fromEntries(
        Object.entries(readLinks(linksPathIn(stateDirectory))).map(([to, all]) => [to, [...all]]),
      ),
      outgoing: outgoingOf(this.#port.migrations()),
      vms: vms.map(({ vm, taken }) => ({
        ...this.#tell(vm, taken),
        ...(told ? this.#contentsOf(vm, told) : { contents: null }),
      })),
      ...(told ? { contentsCursor: `${this.#id}.${told.upTo}` } : {}),
      ...(told && told.upTo < this.#read ? { contentsLeft: true } : {}),
    };
  }

  #tell(vm: Vm, takenBytes: number): Omit<OutlookVm, 'contents'> {
    const { name, state, uuid, memoryBytes, migration, sharedMemory } = vm.view();
    return {
      name,
      uuid,
      state,
      migration,
      ramBytes: memoryBytes,
      dataPages: Math.round(takenBytes / PAGE_SIZE),
      cpus: this.#port.pressure.cpusOf(vm),
      samples: this.#port.sampling.historyOf(vm).samples,
      sharedMemory: sharedMemory.map((region) => ({ name: region.name, bytes: region.sizeBytes })),
    };
  }

  /** Which samples are told: in the order in which they were read, so that a cursor says what is known. */
  #piece({ contentsAfter, contentsLimit = Infinity }: OutlookQuestion): Piece {
    if (!this.#port.looksThrough) return { after: this.#read, upTo: this.#read };
    const after = this.#numberOf(contentsAfter);
    const samples = this.#port.vms().flatMap((vm) => this.#sampleOf(vm) ?? []);
    const fresh = samples.filter(({ number }) => number > after).sort((a, b) => a.number - b.number);
    let bytes = 0;
    const tooMany = fresh.findIndex(({ text }, index) => {
      bytes += text.length;
      return index > 0 && bytes > contentsLimit;
    });
    return { after, upTo: tooMany < 0 ? this.#read : fresh[tooMany - 1]!.number };
  }

  #contentsOf(vm: Vm, { after, upTo }: Piece): Pick<OutlookVm, 'contents' | 'contentsVersion'> {
    const sample = this.#samples.get(vm);
    if (!sample || !this.#port.looksThrough) return { contents: null, contentsVersion: null };
    const { text, number } = sample;
    const isTold = number > after && number <= upTo;
    return { contents: isTold ? text : null, contentsVersion: `${this.#id}.${number}` };
  }

  #sampleOf(vm: Vm): KnownSample | undefined {
    const known = this.#samples.get(vm);
    const { pid, startTicks } = vm.record;
    const found = readSamples(samplesPathIn(this.#port.contentsDirectory, { pid, startTicks }), known?.scannedAtMs);
    if (!found) return known;
    this.#read++;
    const sample = { scannedAtMs: found.scannedAtMs, text: found.samples[PAGE_SIZE], number: this.#read };
    this.#samples.set(vm, sample);
    return sample;
  }

  #numberOf(cursor = ''): number {
    const [id, number] = cursor.split('.');
    return id === this.#id && /^\d+$/.test(number ?? '') ? Number(number) : 0;
  }
}

export function outgoingOf(migrations: readonly MigrationView[]): OutlookView['outgoing'] {
  return migrations.flatMap(({ id, vm, direction, peer, progress }) =>
    direction === 'incoming'
      ? []
      : {
          ...{ id, vm, to: peer, etaMs: progress?.etaMs ?? null },
          ...{ bytesPerSecond: progress?.bytesPerSecond ?? 0, ramBytes: progress?.ramBytes ?? 0 },
          // Before its first connection it waits for none that is lost.
          waitingFor: progress && progress.phase !== 'preparing' ? progress.waitingFor : null,
        },
  );
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(RAM_DIRECTORY);
  return roomOf(availableMemoryBytes(), bavail * bsize);
}

/** Of memory and of the file system of RAM files there is what the scarcer has. A number that JSON knows. */
export function roomOf(memoryBytes: number, fileBytes: number): number {
  return Math.max(0, Math.min(memoryBytes - OVERHEAD_BYTES, fileBytes, Number.MAX_SAFE_INTEGER));
}

/** Of its RAM, by what it has touched; 0 once it has ended, and where it cannot be read. */
export function takenBytes(pid: number, find: typeof findRamFiles = findRamFiles): number {
  try {
    return find(pid).reduce((sum, { path }) => {
      const status = statSync(path, { throwIfNoEntry: false });
      return sum + (status ? status.blocks * BLOCK_BYTES : 0);
    }, 0);
  } catch {
    return 0;
  }
}

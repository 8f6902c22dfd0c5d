/**
 * This host as a planner sees it.
 *
 * Owns: the samples of VMs' contents, made again when a VM was looked through again. Must hold: asking changes nothing, and
 * a VM of which something cannot be told is told of without it; no more room is told of than a new VM is let into
 * (linux/memory-room.ts).
 */
import { statfsSync, statSync } from 'node:fs';
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { createPageSample, sampleKey } from '../fleet/page-sample.ts';
import { encodePageSample } from '../fleet/page-sample-code.ts';
import { availableMemoryBytes } from '../linux/memory-room.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { parseKey } from '../migration/fingerprint-keys.ts';
import { linksPathIn, readLinks } from '../migration/known-links-file.ts';
import { readScanned } from '../migration/live-contents.ts';
import { findRamFiles } from '../qemu/ram.ts';
import type { DirtySampling } from './dirty-sampling.ts';
import type { HostPressure } from './host-pressure.ts';
import type { Vm } from './vm.ts';

export interface OutlookPort {
  readonly hostName: string;
  readonly stateDirectory: string;
  /** Of what the scanner has found (migration/live-contents.ts). */
  readonly contentsDirectory: string;
  /** Hexadecimal; null: contents are not looked at. */
  readonly fleetKey: string | null;
  readonly sampling: DirtySampling;
  readonly pressure: HostPressure;
  vms(): readonly Vm[];
  migrationAddress(): string;
  bandwidthBytesPerSecond(): number;
}

/** Where hosts make the RAM files of VMs that come. */
const RAM_DIRECTORY = '/dev/shm';
/** What a QEMU needs besides: as much is to be left of memory. */
const OVERHEAD_BYTES = 64 * 2 ** 20;
const BLOCK_BYTES = 512;
const FINGERPRINT_BYTES = 16;

interface KnownSample {
  readonly scannedAtMs: number;
  readonly text: string;
}

export class Outlook {
  readonly #port: OutlookPort;
  readonly #fingerprint: PageFingerprint | null;
  readonly #samples = new WeakMap<Vm, KnownSample>();

  constructor(port: OutlookPort) {
    this.#port = port;
    this.#fingerprint = port.fleetKey === null ? null : new PageFingerprint(parseKey(port.fleetKey)!);
  }

  /** @param isBrief - without what is in the VMs' memory */
  view(isBrief: boolean): OutlookView {
    const { hostName, stateDirectory } = this.#port;
    const vms = this.#port.vms().map((vm) => ({ vm, taken: takenBytes(vm) }));
    const takenByAll = vms.reduce((sum, { taken }) => sum + taken, 0);
    return {
      host: hostName,
      migration: this.#port.migrationAddress(),
      memoryBytes: freeBytes() + takenByAll,
      pressure: this.#port.pressure.view(),
      bandwidthBytesPerSecond: this.#port.bandwidthBytesPerSecond(),
      ways: Object.fromEntries(
        Object.entries(readLinks(linksPathIn(stateDirectory))).map(([to, all]) => [to, [...all]]),
      ),
      vms: vms.map(({ vm, taken }) => this.#tell(vm, taken, isBrief)),
    };
  }

  #tell(vm: Vm, takenBytes: number, isBrief: boolean): OutlookVm {
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
      contents: isBrief ? null : this.#contentsOf(vm),
      sharedMemory: sharedMemory.map((region) => ({ name: region.name, bytes: region.sizeBytes })),
    };
  }

  #contentsOf(vm: Vm): string | null {
    if (this.#fingerprint === null) return null;
    const known = this.#samples.get(vm);
    const { pid, startTicks } = vm.record;
    const found = readScanned(this.#port.contentsDirectory, { pid, startTicks }, this.#fingerprint, known?.scannedAtMs);
    if (!found) return known?.text ?? null;
    const { fingerprints, pages } = found.index;
    const keys: number[] = [];
    for (let page = 0; page < pages; page++) {
      const key = sampleKey(fingerprints.subarray(page * FINGERPRINT_BYTES, (page + 1) * FINGERPRINT_BYTES));
      if (key !== null) keys.push(key);
    }
    const text = encodePageSample(createPageSample(keys));
    this.#samples.set(vm, { scannedAtMs: found.scannedAtMs, text });
    return text;
  }
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
export function takenBytes({ record }: Pick<Vm, 'record'>, find: typeof findRamFiles = findRamFiles): number {
  try {
    return find(record.pid).reduce((sum, { path }) => {
      const status = statSync(path, { throwIfNoEntry: false });
      return sum + (status ? status.blocks * BLOCK_BYTES : 0);
    }, 0);
  } catch {
    return 0;
  }
}

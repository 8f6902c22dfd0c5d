/**
 * The regions of a group that moves, at the host that it leaves.
 *
 * Owns: their threads' handles and what is shown of them. Must hold: all regions hear the same of a VM, in the same order; they
 * begin together, when the first VM is the other host's.
 */
import type { GroupRegionView } from '../api/group-migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { RegionReport } from '../sharing/region-report.ts';
import type { RegionSourceEvent, RegionSourceHandle } from '../sharing/region-threads.ts';
import type { HostRegion } from './host-region.ts';

export interface MovingRegionsPort {
  open(region: HostRegion, onEvent: (event: RegionSourceEvent) => void): RegionSourceHandle;
  /** R4: the VM touched a page that has gone. */
  onStopVm(vm: string, access: { readonly page: number; readonly region: string; readonly atMs: number }): void;
  /** A region cannot move, or not before it has begun. */
  onFailed(error: GodwitError): void;
  onChanged(): void;
  note(text: string): void;
}

interface MovingRegion {
  readonly region: HostRegion;
  readonly handle: RegionSourceHandle;
  readonly completed: PromiseWithResolvers<void>;
  report: RegionReport | null;
  isConnected: boolean;
  /** Its report is the last one. */
  isComplete: boolean;
}

export class MovingRegions {
  readonly #regions: readonly HostRegion[];
  readonly #port: MovingRegionsPort;
  readonly #moving: MovingRegion[] = [];

  constructor(regions: readonly HostRegion[], port: MovingRegionsPort) {
    this.#regions = regions;
    this.#port = port;
  }

  get views(): GroupRegionView[] {
    return this.#regions.map((region) => this.#viewOf(region));
  }

  /** Resolves when all are watched at both hosts. @throws what the other host refuses them with */
  async open(signal: AbortSignal): Promise<void> {
    // One after the other: a process can be looked into by one at a time.
    for (const region of this.#regions) {
      const completed = Promise.withResolvers<void>();
      completed.promise.catch(() => undefined);
      const handle = this.#port.open(region, (event) => this.#take(moving, event));
      // One that an earlier daemon has begun is dialled from now on.
      const isConnected = !handle.hasBegun;
      const moving: MovingRegion = { region, handle, completed, report: null, isConnected, isComplete: false };
      this.#moving.push(moving);
      await handle.ready;
      signal.throwIfAborted();
    }
  }

  /** Pages of one of them may have changed hosts: an earlier daemon had begun. */
  get hasBegun(): boolean {
    return this.#moving.some(({ handle }) => handle.hasBegun);
  }

  /** The other host cannot be reached by one of them. */
  get isCut(): boolean {
    return this.#moving.some(({ isConnected }) => !isConnected);
  }

  begin(): void {
    for (const { handle } of this.#moving) {
      if (handle.hasBegun) continue;
      try {
        handle.begin();
      } catch (error) {
        // It has failed in the same moment, and says so itself; the others go on.
        this.#port.note(explain(error));
      }
    }
  }

  vmStopped(vm: string): void {
    for (const { handle } of this.#moving) handle.vmStopped(vm);
  }

  vmLeft(vm: string): void {
    for (const { handle } of this.#moving) handle.vmLeft(vm);
  }

  vmContinued(vm: string): void {
    for (const { handle } of this.#moving) handle.vmContinued(vm);
  }

  /** Something of the VM may wait for memory that has gone, where nothing is lent (KVM). */
  vmOverdue(vm: string): void {
    for (const { handle } of this.#moving) handle.vmOverdue(vm);
  }

  /** The other host has every page of them. */
  async completed(): Promise<void> {
    await Promise.all(this.#moving.map(({ completed }) => completed.promise));
  }

  /** Asks how far they are. */
  async refresh(): Promise<void> {
    const asked = this.#moving.map(async (moving) => {
      const report = await moving.handle.report();
      // The last word may have come meanwhile.
      if (!moving.isComplete) moving.report = report;
    });
    await Promise.allSettled(asked);
  }

  /** The daemon ends: all stays as it is, and the next one goes on. */
  async abandon(): Promise<void> {
    await Promise.all(this.#moving.map(({ handle }) => handle.abandon()));
  }

  /** Nothing has moved: all as it was. */
  async cancel(): Promise<void> {
    for (const { handle } of this.#moving) {
      await handle.cancel().catch((error: unknown) => this.#port.note(explain(error)));
    }
  }

  #take(moving: MovingRegion, event: RegionSourceEvent): void {
    const { onStopVm, onFailed, onChanged } = this.#port;
    switch (event.kind) {
      case 'stopVm':
        onStopVm(event.vm, { page: event.page, region: moving.region.name, atMs: event.atMs });
        return;
      case 'linkLost':
      case 'linkBack':
        moving.isConnected = event.kind === 'linkBack';
        if (event.kind === 'linkLost' && !moving.handle.hasBegun) onFailed(this.#lost(moving.region, event.reason));
        onChanged();
        return;
      case 'noted':
        this.#port.note(`shared memory ${moving.region.name}: ${event.text}`);
        return;
      case 'completed':
        moving.report = event.report;
        moving.isComplete = true;
        moving.completed.resolve();
        return;
      case 'failed': {
        const error = GodwitError.fromBody(event.error);
        moving.completed.reject(error);
        onFailed(error);
      }
    }
  }

  #lost({ name }: HostRegion, reason: string): GodwitError {
    return new GodwitError('GW_WIRE_CLOSED', { peer: `the other host of shared memory ${name}`, reason });
  }

  #viewOf({ name, bytes }: HostRegion): GroupRegionView {
    const moving = this.#moving.find(({ region }) => region.name === name);
    const report = moving?.report;
    const pages = bytes / PAGE_SIZE;
    return {
      name,
      sizeBytes: bytes,
      pages,
      pagesLeft: report?.pagesHere ?? pages,
      requestedPages: report?.tally.givenOnRequest ?? 0,
      pushedPages: report?.tally.pushed ?? 0,
      lentPages: report?.tally.asked ?? 0,
      sentAgainPages: report?.tally.sentAgain ?? 0,
      wireBytes: report ? report.wireBytes.sent + report.wireBytes.received : 0,
      connected: moving?.isConnected ?? false,
    };
  }
}

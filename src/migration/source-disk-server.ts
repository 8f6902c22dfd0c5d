/**
 * The VM's disks at the source, while it moves: requests under way are cancelled, where that can be, instead of waited for (M3).
 *
 * Owns: the connection to the VM's block server, and what became of the requests. Must hold: `seal` resolves before the
 * destination may hear that it can take the VM; whatever goes wrong before, `admit` lets the VM's requests go on here.
 */
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError, hasCode } from '../base/errors.ts';
import type { DiskFacts } from '../qemu/disk-facts.ts';
import type { QmpClient } from '../qemu/qmp.ts';
import type { CancelledDisk } from '../storage/vm-disks/control-words.ts';
import { readDiskServerRecord } from '../storage/vm-disks/disk-server-record.ts';
import { VmDiskServer } from '../storage/vm-disks/vm-disk-server.ts';
import type { DiskRequestReport } from './report.ts';
import type { OfferedDisks } from './served-disks.ts';
import type { VmRecord } from './vm-record.ts';

const NOT_SERVED =
  'QEMU itself has the image, and waits for its requests (through: block-server in the VM spec avoids it)';
const COMPLETED = 'TRIM and WRITE_ZEROES are completed: QEMU cannot send them again';

/** A QEMU that does not wait for its disks answers within a millisecond; one that is only late loses little by being stopped by an error. */
const SILENCE_MS = 5;
const PROBE_MS = 1;

export class SourceDiskServer implements Disposable {
  readonly #server: VmDiskServer | undefined;
  #cancelling: Promise<readonly CancelledDisk[]> | undefined;
  #cancelled: readonly CancelledDisk[] = [];
  #offered: OfferedDisks | undefined;

  private constructor(server: VmDiskServer | undefined) {
    this.#server = server;
  }

  /** null when no disk of the VM goes through a block server. */
  static async open(vm: VmRecord): Promise<SourceDiskServer | null> {
    const directory = dirname(vm.qmpPath);
    if (!readDiskServerRecord(directory)) return null;
    // A VM that goes back must be reached also where its server has died, which the daemon sees to then.
    const server = await VmDiskServer.find(directory).catch(() => undefined);
    const opened = new SourceDiskServer(server);
    if (server) await opened.#describe(server);
    return opened;
  }

  /** @throws GW_DISK_SERVER */
  get offer(): OfferedDisks {
    if (!this.#offered) throw gone();
    return this.#offered;
  }

  /** The image of a disk that goes through it, and the process that has it open. */
  findImage({ file }: Pick<DiskFacts, 'file'>): { readonly path: string; readonly pid: number } | undefined {
    const disk = this.#offered?.disks.find(({ name }) => isServedAs(file, name));
    return disk && this.#server && { path: disk.path, pid: this.#server.process.pid };
  }

  /** Resolves with the reason when the server has ended, or is not there. */
  get lost(): Promise<GodwitError> {
    return this.#server?.closed ?? Promise.resolve(gone());
  }

  /**
   * Cancels when QEMU has stopped the vCPUs and waits for what they have asked for. With virtio-blk it says STOP before it
   * waits, with virtio-scsi after (vm_state_notify): while it waits it answers nothing.
   * @param stopping - it is about to stop the VM
   */
  cancelAtStop(qmp: Pick<QmpClient, 'onEvent' | 'execute'>, stopping: Promise<void>): void {
    const server = this.#server;
    if (!server) return;
    let isOver = false;
    const cancel = (): void => {
      if (isOver) return;
      isOver = true;
      this.#cancelling = server.cancel();
      // Told by `seal`; until then QEMU waits, as it does without a block server.
      this.#cancelling.catch(() => undefined);
    };
    const unlisten = qmp.onEvent(({ event }) => {
      if (event !== 'STOP') return;
      unlisten();
      cancel();
    });
    const probe = async (): Promise<void> => {
      while (!isOver) {
        const wait = { timeoutMs: SILENCE_MS };
        const { running } = await qmp.execute<{ running: boolean }>('query-status', undefined, wait);
        // Also of a VM that was paused: nothing of it is under way.
        if (!running) return;
        await delay(PROBE_MS);
      }
    };
    // Whatever ends the probing but silence ends the migration as well, which says so.
    stopping.then(probe).catch((error: unknown) => {
      if (hasCode(error, 'GW_QMP_TIMEOUT')) cancel();
    });
  }

  /** The VM stands still. Resolves when nothing of it changes the images any more. @throws GW_DISK_SERVER */
  seal(): Promise<void> {
    const sealing = this.#seal();
    // It is awaited at the very end; if something else fails first, nobody hears of it.
    sealing.catch(() => undefined);
    return sealing;
  }

  async #seal(): Promise<void> {
    if (!this.#server) throw gone();
    this.#cancelled = (await this.#cancelling) ?? [];
    await this.#server.seal();
  }

  /** What was written so far comes to the storage, so that less of it is left when the VM stands still. Never rejects. */
  async sync(): Promise<void> {
    await this.#server?.sync().catch(asGodwitError);
  }

  /** The VM stays here. */
  async admit(): Promise<void> {
    await this.#server?.admit();
  }

  /** Undefined when the server was not there. */
  get offered(): OfferedDisks | undefined {
    return this.#offered;
  }

  /** By `seal`. */
  get cancelled(): readonly CancelledDisk[] {
    return this.#cancelled;
  }

  [Symbol.dispose](): void {
    this.#server?.[Symbol.dispose]();
  }

  async #describe(server: VmDiskServer): Promise<void> {
    const { disks } = await server.status();
    this.#offered = { socket: server.nbdSocket, disks: server.disks, bytes: disks.map(({ bytes }) => bytes) };
  }
}

/** Of every disk that the VM may change. */
export function reportDiskRequests({
  facts,
  diskServer,
}: {
  readonly facts: { readonly disks: readonly DiskFacts[] };
  readonly diskServer: Pick<SourceDiskServer, 'offered' | 'cancelled'> | null;
}): DiskRequestReport[] {
  const { offered, cancelled = [] } = diskServer ?? {};
  return facts.disks
    .filter(({ readonly }) => !readonly)
    .map(({ id, file }) => {
      const known = offered?.disks.find((disk) => isServedAs(file, disk.name));
      if (!known) return { disk: id, image: file, cancelled: 0, drained: NOT_SERVED };
      const counts = cancelled.find(({ disk }) => disk === known.name);
      const drained = counts && counts.completed > 0 ? COMPLETED : null;
      return { disk: id, image: known.path, cancelled: counts?.cancelled ?? 0, drained };
    });
}

/** As QEMU tells of an NBD node. */
function isServedAs(file: string, exportName: string): boolean {
  return file.startsWith(`nbd+unix:///${exportName}?`);
}

function gone(): GodwitError {
  return new GodwitError('GW_DISK_SERVER', { reason: 'it is not there' });
}

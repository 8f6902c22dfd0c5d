/**
 * The served disks of one VM, and whose turn it is to change them.
 *
 * Owns: the images, each an export of its name, and their locks. Must hold: while another host's server may change the images
 * nothing here does (the fence): before `admit` every change waits, and after `seal` there is none; they are locked from
 * `admit` until `seal`, so that whoever is admitted twice, on one host or on two, is refused.
 */
import { GodwitError } from '../../base/errors.ts';
import { DiskServing } from '../nbd/disk-serving.ts';
import { explainRefusedLock, type LockOutcome } from '../nbd/image-lock.ts';
import type { ServerEvent } from '../nbd/nbd-server.ts';
import { MAX_COLLECTED_RANGES, type Returns, type Takes } from './control-words.ts';
import { hasDiskFault } from './disk-faults.ts';
import type { ServedDiskFacts } from './disk-server-record.ts';

/** Of nobody: whoever had the images before is not a client of this server. */
const BEFORE = 1;
/** Of the VM's QEMU. */
const VM = 2;

/** Of an image whose storage knows no locks: nothing keeps a second one from it. */
export interface NotLocked {
  readonly kind: 'notLocked';
  readonly path: string;
  readonly reason: string;
}

export class VmDisks {
  readonly #serving: DiskServing;
  readonly #onEvent: (event: ServerEvent | NotLocked) => void;
  readonly #disks: (ServedDiskFacts & { readonly bytes: number })[] = [];
  #turn: Returns<'status'>['turn'] = 'waiting';

  constructor(onEvent: (event: ServerEvent | NotLocked) => void) {
    this.#onEvent = onEvent;
    this.#serving = new DiskServing(undefined, onEvent);
  }

  /** Before `listen`. @throws GW_DISK_UNUSABLE */
  async open(disks: readonly ServedDiskFacts[]): Promise<void> {
    const isFenced = !hasDiskFault('noDiskFence');
    for (const disk of disks) {
      const { name, path, isReadOnly } = disk;
      const bytes = await this.#serving.openDisk(name, { path, isReadOnly, isRaw: true, generation: BEFORE, isFenced });
      await this.#serving.addExport(name, name, VM);
      this.#disks.push({ ...disk, bytes });
    }
  }

  /** @throws GW_NBD_LISTEN */
  async listen(path: string): Promise<void> {
    await this.#serving.listen({ path });
  }

  async status(): Promise<Returns<'status'>> {
    const clients = await this.#serving.clients();
    const disks = await Promise.all(
      this.#disks.map(async (disk) => {
        const requests = await this.#serving.requests(disk.name);
        const running = requests.filter(({ state }) => state === 'running').length;
        const agesMs = clients.filter(({ exportName }) => exportName === disk.name).map(({ ageMs }) => ageMs);
        const clientAgeMs = agesMs.length > 0 ? Math.min(...agesMs) : null;
        return { ...disk, waiting: requests.length - running, running, clientAgeMs };
      }),
    );
    return { pid: process.pid, turn: this.#turn, disks };
  }

  /** @throws GW_DISK_UNUSABLE when somebody else has one of them; nothing has changed then */
  async admit(): Promise<null> {
    const refused = this.#lockAll();
    if (refused) throw await explainRefusedLock(refused.path);
    // In the same turn: a seal that ends meanwhile gives up nothing any more.
    const wasCancelled = this.#turn === 'cancelled';
    this.#turn = 'open';
    await this.#each(async ({ name }) => {
      await this.#serving.reopen(name, VM);
      await this.#serving.fence(name, VM);
      // A flush that was cancelled was answered as if it were done, and its guest goes on here. Last: storage that fails must not
      // keep the image closed to a VM that is resumed all the same.
      if (wasCancelled) await this.#serving.sync(name);
    });
    return null;
  }

  async cancel(): Promise<Returns<'cancel'>> {
    if (hasDiskFault('noDiskCancel'))
      return this.#disks.map(({ name }) => ({ disk: name, cancelled: 0, completed: 0 }));
    this.#turn = 'cancelled';
    return await this.#each(async ({ name }) => {
      const { answered, kept } = await this.#serving.cancel(name, VM);
      return { disk: name, cancelled: answered, completed: kept };
    });
  }

  async seal(): Promise<null> {
    this.#turn = 'cancelled';
    await this.#each(async ({ name }) => {
      // Of a VM that was paused nothing was cancelled: there was nothing under way.
      await this.#serving.cancel(name, VM);
      await this.#serving.seal(name, VM);
    });
    if (this.#turn === 'cancelled') {
      for (const { name } of this.#disks) this.#serving.unlock(name);
      this.#turn = 'sealed';
    }
    return null;
  }

  async sync(): Promise<null> {
    await this.#each(({ name }) => this.#serving.sync(name));
    return null;
  }

  async hold({ commands }: Takes<'hold'>): Promise<null> {
    await this.#each(({ name }) => this.#serving.hold(name, commands));
    return null;
  }

  async stall({ commands }: Takes<'stall'>): Promise<null> {
    await this.#each(({ name }) => this.#serving.stall(name, commands));
    return null;
  }

  async track({ disk }: Takes<'track'>): Promise<null> {
    await this.#serving.trackWrites(disk);
    return null;
  }

  async untrack({ disk }: Takes<'untrack'>): Promise<null> {
    await this.#serving.stopTracking(disk);
    return null;
  }

  async collect({ disk }: Takes<'collect'>): Promise<Returns<'collect'>> {
    const collected = await this.#serving.collectDirty(disk, MAX_COLLECTED_RANGES);
    if (!collected) {
      throw new GodwitError('GW_CONFLICT', { kind: 'Disk', name: disk, reason: 'its writes are not tracked' });
    }
    return { ...collected, ranges: [...collected.ranges] };
  }

  /** All of them, or none. Returns one that somebody else has. */
  #lockAll(): ServedDiskFacts | undefined {
    if (this.#turn === 'open') return undefined;
    const outcomes = new Map<ServedDiskFacts, LockOutcome>(
      this.#disks.map((disk) => [disk, this.#serving.lock(disk.name)]),
    );
    const refused = this.#disks.find((disk) => outcomes.get(disk)!.kind === 'refused');
    if (refused) for (const { name } of this.#disks) this.#serving.unlock(name);
    for (const [{ path }, outcome] of outcomes) {
      if (outcome.kind === 'unable') this.#onEvent({ kind: 'notLocked', path, reason: outcome.reason });
    }
    return refused;
  }

  #each<Value>(act: (disk: ServedDiskFacts) => Promise<Value>): Promise<Value[]> {
    return Promise.all(this.#disks.map(act));
  }
}

/**
 * The VM's disks at the destination: a block server of its own, on the same images.
 *
 * Owns: the server, while the migration has the VM. Must hold: the VM changes nothing before `admit`, which comes after the
 * commit, that is after the source has sealed the images; from then on there is no way back: a server that has died is
 * replaced.
 */
import { GodwitError } from '../base/errors.ts';
import { isAlive, type ProcessIdentity } from '../linux/process.ts';
import { readDiskServerRecord } from '../storage/vm-disks/disk-server-record.ts';
import { VmDiskServer } from '../storage/vm-disks/vm-disk-server.ts';
import type { OfferedDisks } from './served-disks.ts';

export class DestinationDiskServer implements Disposable {
  readonly #directory: string;
  #server: VmDiskServer | undefined;

  private constructor(directory: string, server: VmDiskServer | undefined) {
    this.#directory = directory;
    this.#server = server;
  }

  /** @throws GW_DISK_UNUSABLE, GW_DISK_SERVER; then nothing is left */
  static async start(directory: string, { disks, bytes }: OfferedDisks): Promise<DestinationDiskServer> {
    const server = await VmDiskServer.start(directory, disks);
    const { disks: found } = await server.status();
    for (const [index, disk] of found.entries()) {
      if (disk.bytes === bytes[index]) continue;
      await server.end();
      const reason = `it has ${disk.bytes} bytes, and ${bytes[index]} at the source: it is not the same image`;
      throw new GodwitError('GW_DISK_UNUSABLE', { path: disk.path, reason });
    }
    return new DestinationDiskServer(directory, server);
  }

  /** Of a VM that an earlier process or thread of this host had; null when it has no served disks. */
  static reopen(directory: string): DestinationDiskServer | null {
    return readDiskServerRecord(directory) ? new DestinationDiskServer(directory, undefined) : null;
  }

  /** It ends with this QEMU. */
  async guard(qemu: ProcessIdentity): Promise<void> {
    await this.#server?.guard(qemu);
  }

  /** The VM is this host's. @throws GW_DISK_SERVER … when it cannot be brought about now */
  async admit(qemu: ProcessIdentity): Promise<void> {
    if (this.#server && !isAlive(this.#server.process)) this[Symbol.dispose]();
    this.#server ??= (await VmDiskServer.find(this.#directory)) ?? (await this.#replace(qemu));
    await this.#server.admit();
  }

  /** Nothing of it stays. */
  async end(): Promise<void> {
    await this.#server?.end();
  }

  /** Lets go; it goes on. */
  [Symbol.dispose](): void {
    this.#server?.[Symbol.dispose]();
    this.#server = undefined;
  }

  async #replace(qemu: ProcessIdentity): Promise<VmDiskServer> {
    const server = await VmDiskServer.start(this.#directory, readDiskServerRecord(this.#directory)?.disks ?? []);
    await server.guard(qemu);
    return server;
  }
}

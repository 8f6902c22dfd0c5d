/**
 * Images that the QEMU of a VM which is on its way here offers over NBD, so that they are filled before it has its state.
 *
 * Must hold: an image is exported through a node of its own, which discards what is zero, and is closed before the VM is
 * loaded: QEMU reads the image anew when it activates the VM's disks (`late-block-activate`).
 */
import { GodwitError } from '../base/errors.ts';
import type { QmpClient } from './qmp.ts';

export interface ExportedImage {
  /** Of the disk; the name of the export, too. */
  readonly name: string;
  readonly path: string;
  readonly format: string;
  readonly kind: 'file' | 'device';
}

export class DiskExports {
  readonly socketPath: string;
  readonly #qmp: QmpClient;
  #nodes: string[] = [];

  private constructor(qmp: QmpClient, socketPath: string) {
    this.#qmp = qmp;
    this.socketPath = socketPath;
  }

  /** @throws GW_DISK_COPY */
  static async open(qmp: QmpClient, socketPath: string, images: readonly ExportedImage[]): Promise<DiskExports> {
    const exports = new DiskExports(qmp, socketPath);
    await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path: socketPath } } });
    for (const [index, image] of images.entries()) await exports.#add(image, `godwit-export-${index}`);
    return exports;
  }

  /** Before the VM's state is loaded; nothing of it is left in QEMU. */
  async close(): Promise<void> {
    const nodes = this.#nodes;
    this.#nodes = [];
    if (nodes.length === 0) return;
    for (const node of nodes) await this.#qmp.execute('block-export-del', { id: node, mode: 'hard' });
    await this.#qmp.execute('nbd-server-stop');
    for (const node of nodes) await this.#qmp.execute('blockdev-del', { 'node-name': node });
  }

  async #add({ name, path, format, kind }: ExportedImage, node: string): Promise<void> {
    try {
      const driver = kind === 'device' ? 'host_device' : 'file';
      const file = { driver, filename: path };
      await this.#qmp.execute('blockdev-add', { driver: format, 'node-name': node, discard: 'unmap', file });
      await this.#qmp.execute('block-export-add', { id: node, type: 'nbd', 'node-name': node, name, writable: true });
      this.#nodes.push(node);
    } catch (cause) {
      throw new GodwitError('GW_DISK_COPY', { disk: name, reason: `${path} cannot be exported` }, { cause });
    }
  }
}

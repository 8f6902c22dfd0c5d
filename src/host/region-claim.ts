/**
 * The regions of a VM whose QEMU is being started, or that change hosts.
 *
 * Must hold: from the claim on no other VM gets one of them in another size, or at all while it changes hosts, and their files
 * stay; a claim that is not confirmed leaves nothing behind.
 */
import { GodwitError } from '../base/errors.ts';
import { mapsFile } from '../linux/file-users.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { sharedBackendId } from '../qemu/command-line.ts';
import type { HostRegion } from './host-region.ts';

export class RegionClaim implements Disposable {
  readonly #vm: string;
  readonly regions: readonly HostRegion[];
  readonly #table: { drop(): void; settle(process: ProcessIdentity): void; moved(): unknown };
  #isOpen: boolean;

  /** @param table - what becomes of the VM's place in the table */
  constructor(
    vm: string,
    regions: readonly HostRegion[],
    table: { drop(): void; settle(process: ProcessIdentity): void; moved(): unknown },
  ) {
    this.#vm = vm;
    this.regions = regions;
    this.#table = table;
    this.#isOpen = regions.length > 0;
  }

  /** Of the files, by the ids that godwit gives the memory backends. */
  get paths(): ReadonlyMap<string, string> {
    return new Map(this.regions.map(({ name, path }) => [sharedBackendId(name), path]));
  }

  /** QEMU runs, and the VM has the regions as long as it does. @throws GW_REGION_UNUSABLE when it maps other files */
  confirm(process: ProcessIdentity): void {
    if (!this.#isOpen) return;
    const missing = this.regions.find((region) => !mapsFile(process.pid, region));
    if (missing) {
      const reason = `its file ${missing.path} was replaced while QEMU started`;
      const fix = 'try again, and let nobody else change files of godwit';
      throw new GodwitError('GW_REGION_UNUSABLE', { vm: this.#vm, region: missing.name, reason, fix });
    }
    this.#isOpen = false;
    this.#table.settle(process);
  }

  /** All pages are here: VMs may have them. The files stay still. */
  moved(): void {
    this.#table.moved();
  }

  /** Gives up what was not confirmed. */
  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#table.drop();
  }
}

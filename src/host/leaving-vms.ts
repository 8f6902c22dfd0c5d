/**
 * The VMs that run at another host and whose memory is still fetched from here.
 *
 * Must hold: they are seen until their migration has ended: whoever stops this host before takes memory away from them.
 */
import type { VmView } from '../api/vm-schema.ts';

const NOTE = 'it runs there; some of its memory is still here and being fetched: this host has to stay up';

export class LeavingVms {
  readonly #vms = new Map<string, VmView>();

  /** @param to - host that it runs at */
  add(view: VmView, to: string, epoch: number, migration: string): VmView {
    const leaving: VmView = { ...view, state: 'leaving', owner: to, epoch, migration, qmpPath: null, notes: [NOTE] };
    this.#vms.set(view.name, leaving);
    return leaving;
  }

  get(name: string): VmView | undefined {
    return this.#vms.get(name);
  }

  names(): Iterable<string> {
    return this.#vms.keys();
  }

  /** Returns whether it was still the migration's. */
  end(name: string, migration: string): boolean {
    return this.#vms.get(name)?.migration === migration && this.#vms.delete(name);
  }
}

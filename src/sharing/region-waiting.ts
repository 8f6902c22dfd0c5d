/**
 * What a region's thread waits for: orders, the connection, the faults of every QEMU here.
 *
 * Owns: the set of descriptors, made anew where it changes. Must hold: what has come since is not taken for ready.
 */
import type { EventFd } from '../linux/poll.ts';
import { Poller } from '../linux/poll.ts';
import type { RegionConnection } from './region-connection.ts';
import type { HeldBack } from './region-faults.ts';

export interface FaultingVm {
  readonly vm: string;
  readonly fd: number;
}

export class RegionWaiting {
  readonly #control: EventFd;
  #poller: Poller;
  #fds = '';
  #connection: RegionConnection | undefined;
  #faulting: readonly FaultingVm[] = [];

  /** @param control - readable when an order waits */
  constructor(control: EventFd) {
    this.#control = control;
    this.#poller = new Poller([]);
  }

  /** @param heldBack - VMs that are not waited for, but for their end */
  wait(
    connection: RegionConnection | undefined,
    faulting: readonly FaultingVm[],
    heldBack: HeldBack,
    timeoutMs: number,
  ): void {
    this.#connection = connection;
    this.#faulting = faulting;
    const fds = [this.#control.fd, ...(connection ? [connection.fd] : []), ...faulting.map(({ fd }) => fd)];
    const text = `${connection !== undefined} ${fds}`;
    if (text !== this.#fds) this.#poller = new Poller(fds);
    this.#fds = text;
    if (connection) this.#poller.setWanted(1, { read: connection.mayRead, write: connection.isPending });
    const first = connection ? 2 : 1;
    for (const [index, { vm }] of faulting.entries()) {
      this.#poller.setWanted(first + index, { read: !heldBack.vms.includes(vm), write: false });
    }
    this.#poller.wait(Math.min(timeoutMs, heldBack.ms));
  }

  /** Once: makes it unreadable again. */
  takeOrdered(): boolean {
    if (!this.#poller.isReady(0)) return false;
    this.#control.drain();
    return true;
  }

  canRead(connection: RegionConnection): boolean {
    return connection === this.#connection && this.#poller.isReadable(1);
  }

  /** Those with faults to read, by their places in the list that was waited for. */
  faulted(): readonly (readonly [index: number, vm: string])[] {
    const first = this.#connection ? 2 : 1;
    return this.#faulting.flatMap(({ vm }, index) =>
      this.#poller.isReady(first + index) ? [[index, vm] as const] : [],
    );
  }
}

/** What is compared: ways to move one guest from the source side to the destination side. */
import type { LinuxGuestImages } from '../guest/linux/images.ts';
import type { Guest } from './guest.ts';
import type { Side } from './network.ts';
import type { BenchQemu } from './qemu-wrapper.ts';
import type { Workload } from './workloads.ts';

/** What every run needs. */
export interface Bench {
  readonly qemu: BenchQemu;
  readonly images: LinuxGuestImages;
  /** Of the whole bench; removed at its end. */
  readonly directory: string;
}

export interface System {
  /** As in the results, such as `qemu-multifd`. */
  readonly name: string;
  readonly description: string;
  /** Starts a guest at the source side; it boots while the caller goes on. */
  open(run: RunPlace, workload: Workload): Promise<Session>;
}

export interface RunPlace {
  /** Unique in the bench; also the VM's name. */
  readonly name: string;
  /** For this run's files. */
  readonly directory: string;
  /** Where QEMU's own migration goes to; given where several go at a time. */
  readonly migrationPort?: number;
}

export interface Helper {
  readonly side: Side;
  readonly pid: number;
}

/** One guest, to be moved once. */
export interface Session extends AsyncDisposable {
  readonly source: Guest;
  /** Processes besides the two QEMUs that take part. */
  readonly helpers: readonly Helper[];
  /** What is to be done beforehand. Returns the destination if it is there by then. */
  prepare(): Promise<Guest | undefined>;
  /** Moves it. `found` is called once with the destination, as soon as it is there, unless `prepare` gave it. */
  migrate(found: (destination: Guest) => void): Promise<Move>;
}

export type Move =
  | {
      readonly kind: 'moved';
      /** When it was asked for, Unix milliseconds. */
      readonly startedAtMs: number;
      /** When copying could begin. */
      readonly preparedAtMs: number;
      /** How long it took to prepare the destination, be it before it was asked for or after. */
      readonly preparingMs: number;
      /** When the source was needed no more. */
      readonly endedAtMs: number;
      readonly destination: Guest;
      /** What the system says of itself; goes into the results as it is. */
      readonly own: Readonly<Record<string, number>>;
    }
  | { readonly kind: 'notConverged'; readonly afterMs: number }
  | { readonly kind: 'failed'; readonly reason: string };

/** Unix milliseconds with fractions. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * What one side of a shared region has done, as the report of a group's migration tells it (R4, R6).
 *
 * Owns: its shape.
 */
import type { RegionTally } from './region-tally.ts';

/** Accesses that waited, from reading the fault to waking who waits. */
export interface FaultWaits {
  readonly count: number;
  readonly p50Microseconds: number;
  readonly p99Microseconds: number;
  readonly maxMicroseconds: number;
}

export interface RegionReport {
  readonly region: string;
  readonly side: 'source' | 'destination';
  readonly pages: number;
  /** Pages that this side has now. */
  readonly pagesHere: number;
  readonly tally: RegionTally;
  /** At the source: which access stopped which VM, in milliseconds since the first VM had left. */
  readonly stoppingAccesses: readonly { readonly vm: string; readonly page: number; readonly ms: number }[];
  /** Accesses that waited for the way there and back. */
  readonly faults: FaultWaits;
  /** At the destination: accesses to pages that were lent, which wait until a VM of the source stands. */
  readonly lentFaults: FaultWaits;
  /** Contents that were sent and received, by kind; what was sent again after a cut counts again. */
  readonly sent: { readonly dataPages: number; readonly zeroPages: number };
  readonly received: { readonly dataPages: number; readonly zeroPages: number };
  readonly wireBytes: { readonly sent: number; readonly received: number };
  /** How often there was another connection. */
  readonly reconnects: number;
  readonly durations: {
    /** Since the first VM had left, or since the destination heard of that; until everything was over. */
    readonly movingMs: number;
    /** Without a connection, of that. */
    readonly unlinkedMs: number;
    /** For memory on a full host. */
    readonly noMemoryMs: number;
  };
}

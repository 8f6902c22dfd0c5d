/**
 * What the sample guest says on its console.
 *
 * Must hold: knows the lines of workload/main.c and nothing else; a line that is not whole yet is not taken.
 */

export interface Heartbeat {
  /** Counts from 1; starts again only when the guest has. */
  readonly number: number;
  /** The guest's clocks: seconds since boot, and Unix time. */
  readonly uptimeSeconds: number;
  readonly wallSeconds: number;
  /** Pages written and verified so far, pages found corrupt. */
  readonly work: number;
  readonly checked: number;
  readonly errors: number;
}

const HEARTBEAT = /^heartbeat (\d+) uptime=([\d.]+) wall=([\d.]+) work=(\d+) checked=(\d+) errors=(\d+)(?=\r?\n)/gm;

/** All heartbeats in the console's text, oldest first. */
export function readHeartbeats(text: string): Heartbeat[] {
  return [...text.matchAll(HEARTBEAT)].map((match) => {
    const [number, uptimeSeconds, wallSeconds, work, checked, errors] = match.slice(1).map(Number) as Numbers;
    return { number, uptimeSeconds, wallSeconds, work, checked, errors };
  });
}

export function lastHeartbeat(text: string): Heartbeat | undefined {
  return readHeartbeats(text.slice(-TAIL_LENGTH)).at(-1);
}

/** Of a guest that works on shared memory. */
export interface SharingProgress {
  readonly increments: number;
  readonly produced: number;
  readonly consumed: number;
  readonly ownWrites: number;
  /** What it has seen that must not be. */
  readonly errors: number;
}

const SHARING = /^sharing increments=(\d+) produced=(\d+) consumed=(\d+) own=(\d+) errors=(\d+)(?=\r?\n)/gm;

/** The last that it has said of it; undefined when it has said nothing. */
export function lastSharingProgress(text: string): SharingProgress | undefined {
  const match = [...text.slice(-TAIL_LENGTH).matchAll(SHARING)].at(-1);
  if (match === undefined) return undefined;
  const [increments, produced, consumed, ownWrites, errors] = match.slice(1).map(Number) as FiveNumbers;
  return { increments, produced, consumed, ownWrites, errors };
}

/** Of a guest that keeps a ledger on its disk. */
export interface LedgerProgress {
  readonly writes: number;
  readonly reads: number;
  readonly flushes: number;
  readonly trims: number;
  /** What was not as it must be, and errors of the device. */
  readonly errors: number;
}

const LEDGER = /^ledger writes=(\d+) reads=(\d+) flushes=(\d+) trims=(\d+) errors=(\d+)(?=\r?\n)/gm;

/** The last that it has said of it; undefined when it has said nothing. */
export function lastLedgerProgress(text: string): LedgerProgress | undefined {
  const match = [...text.slice(-TAIL_LENGTH).matchAll(LEDGER)].at(-1);
  if (match === undefined) return undefined;
  const [writes, reads, flushes, trims, errors] = match.slice(1).map(Number) as FiveNumbers;
  return { writes, reads, flushes, trims, errors };
}

/** What the guest has said of damage: lines with `memory CORRUPT`, `disk CORRUPT` or `INCOHERENT`, kernel panics, errors of the workload. */
export function readComplaints(text: string): string[] {
  return text
    .split(/\r?\n/)
    .filter((line) =>
      /(memory|disk) CORRUPT|I\/O error|shared memory INCOHERENT|Kernel panic|BUG:|Oops|soft lockup|^error: /.test(
        line,
      ),
    );
}

type Numbers = [number, number, number, number, number, number];

type FiveNumbers = [number, number, number, number, number];

/** Some thirty seconds of heartbeats. */
const TAIL_LENGTH = 8192;

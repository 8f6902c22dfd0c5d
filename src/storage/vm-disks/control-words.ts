/**
 * What the owner of a VM says to its block server, over the control socket: one JSON document a line, each with a number
 * that its answer repeats.
 *
 * Owns: the calls, what they take and what they return. Must hold: both sides check what comes (they can be of different
 * versions: the server outlives the daemon); every line, list and number is bounded.
 */
import { z } from 'zod';
import { SERVED_DISK } from './disk-server-record.ts';

/** The longest is an answer with MAX_COLLECTED_RANGES ranges. */
export const MAX_CONTROL_LINE_BYTES: number = 1024 * 1024;
export const MAX_COLLECTED_RANGES = 8192;
/** Calls of one connection that are not answered yet. */
export const MAX_OPEN_CALLS = 64;

const count = z.int().min(0);
const commands = z.array(z.enum(['read', 'write', 'flush', 'trim', 'writeZeroes'])).max(5);
const disk = z.string().min(1).max(63);
const nothing = z.strictObject({});
const done = z.null();

const diskStatus = z.object({
  ...SERVED_DISK.shape,
  bytes: count,
  /** Requests that have not been answered. */
  waiting: count,
  running: count,
  /** Since the youngest of its clients came; null: it has none. */
  clientAgeMs: z.number().min(0).nullable(),
});

const cancelled = z.object({
  disk,
  /** Reads, writes and flushes that were answered with an error: QEMU keeps them. */
  cancelled: count,
  /** TRIM and WRITE_ZEROES, which are completed instead. */
  completed: count,
});

const collected = z.object({
  ranges: z.array(z.object({ offset: count, bytes: count })),
  isAll: z.boolean(),
  changing: count,
});

export const CONTROL_CALLS = {
  status: {
    takes: nothing,
    returns: z.object({
      pid: z.int(),
      /** `waiting`: another host's server has the disks; `sealed`: they are about to be another's. */
      turn: z.enum(['waiting', 'open', 'cancelled', 'sealed']),
      disks: z.array(diskStatus),
    }),
  },
  /** From now on it ends when this process, the VM's QEMU, has ended. */
  guard: { takes: z.strictObject({ pid: z.int().min(1), startTicks: count }), returns: done },
  /** Answers every read, write and flush with an error, those that wait and those that run, until `admit`. */
  cancel: { takes: nothing, returns: z.array(cancelled) },
  /** Answered when no request changes the images any more and all that was written is on their storage. */
  seal: { takes: nothing, returns: done },
  /** The VM is this host's: its requests go on. */
  admit: { takes: nothing, returns: done },
  /** Answered when all that was written so far is on the storage. */
  sync: { takes: nothing, returns: done },
  /** Requests of these kinds wait until the next `hold`, before the storage has them. */
  hold: { takes: z.strictObject({ commands }), returns: done },
  /** The same for those that it has, as if it hung. */
  stall: { takes: z.strictObject({ commands }), returns: done },
  /** From now on it is known which blocks are written. */
  track: { takes: z.strictObject({ disk }), returns: done },
  untrack: { takes: z.strictObject({ disk }), returns: done },
  /** Which were since the last time. */
  collect: { takes: z.strictObject({ disk }), returns: collected },
} as const;

export type ControlCall = keyof typeof CONTROL_CALLS;
export type Takes<Call extends ControlCall> = z.output<(typeof CONTROL_CALLS)[Call]['takes']>;
export type Returns<Call extends ControlCall> = z.output<(typeof CONTROL_CALLS)[Call]['returns']>;

export type DiskServerStatus = Returns<'status'>;
export type CancelledDisk = z.output<typeof cancelled>;

export const CONTROL_REQUEST: z.ZodType<{ id: number; call: ControlCall; with: unknown }> = z.strictObject({
  id: count,
  call: z.enum(Object.keys(CONTROL_CALLS) as [ControlCall, ...ControlCall[]]),
  with: z.unknown(),
});

export const CONTROL_ANSWER: z.ZodType<{ id: number; value?: unknown; error?: unknown }> = z.object({
  id: count,
  value: z.unknown().optional(),
  error: z.unknown().optional(),
});

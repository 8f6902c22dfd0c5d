/**
 * The guest's clock in a saved device state, moved forward by the time that the guest stood still.
 *
 * QEMU stops the guest's clock with the VM, so without this a guest would be late by the downtime of each of its
 * migrations. Numbers are big-endian.
 * - TCG: the section `timer` (softmmu/cpu-timers.c, vmstate_timers, version 2): i64 ticks, 8 unused bytes, i64
 *   nanoseconds, both counted since the VM was first started. They drive the TSC and every timer.
 * - KVM: the section `kvmclock` (hw/i386/kvm/clock.c, version 1): u64 nanoseconds, what a Linux guest's clock source
 *   kvm-clock counts. The TSC is left as QEMU restores it, and with it the section `timer`: a guest that compares the
 *   two would take its TSC for broken.
 * Must hold: a stream in which the section is not found exactly once, or does not look as described, is left as it is.
 */
import type { Accelerator } from './spec.ts';

interface ClockSection {
  readonly name: Buffer;
  /** Instance 0, and the version. */
  readonly instanceAndVersion: Buffer;
  readonly fieldsBytes: number;
  /** Where the nanoseconds are within the fields. */
  readonly nanosecondsAt: number;
  /** Where the CPU's ticks are. */
  readonly ticksAt: number | undefined;
}

const SECTIONS: Readonly<Record<Accelerator, ClockSection>> = {
  tcg: { name: section('timer'), instanceAndVersion: first(2), fieldsBytes: 24, nanosecondsAt: 16, ticksAt: 0 },
  kvm: {
    name: section('kvmclock'),
    instanceAndVersion: first(1),
    fieldsBytes: 8,
    nanosecondsAt: 0,
    ticksAt: undefined,
  },
};
/** Section header in the stream: full section, its number (unknown), name with length, instance, version. */
const SECTION_FULL = 4;
const NUMBER_BYTES = 4;

/** Moves the clock forward, in place. False when it was not found. */
export function advanceGuestClock(state: Buffer, accel: Accelerator, milliseconds: number): boolean {
  const { ticksAt, nanosecondsAt } = SECTIONS[accel];
  const at = findFields(state, SECTIONS[accel]);
  if (at === undefined || !(milliseconds > 0)) return false;
  const nanoseconds = state.readBigInt64BE(at + nanosecondsAt);
  if (nanoseconds <= 0n) return false;
  const added = BigInt(Math.round(milliseconds * 1e6));
  if (ticksAt !== undefined) {
    const ticks = state.readBigInt64BE(at + ticksAt);
    if (ticks <= 0n) return false;
    // The guest's TSC runs at ticks ÷ nanoseconds, whatever machine it was started on.
    state.writeBigInt64BE(ticks + (added * ticks) / nanoseconds, at + ticksAt);
  }
  state.writeBigInt64BE(nanoseconds + added, at + nanosecondsAt);
  return true;
}

function findFields(state: Buffer, wanted: ClockSection): number | undefined {
  let found: number | undefined;
  for (let name = state.indexOf(wanted.name); name >= 0; name = state.indexOf(wanted.name, name + 1)) {
    const header = name - NUMBER_BYTES - 1;
    const rest = name + wanted.name.length;
    const fields = rest + wanted.instanceAndVersion.length;
    if (header < 0 || state[header] !== SECTION_FULL || fields + wanted.fieldsBytes > state.length) continue;
    if (!state.subarray(rest, fields).equals(wanted.instanceAndVersion)) continue;
    if (found !== undefined) return undefined;
    found = fields;
  }
  return found;
}

function section(name: string): Buffer {
  return Buffer.from([name.length, ...Buffer.from(name, 'latin1')]);
}

function first(version: number): Buffer {
  return Buffer.from([0, 0, 0, 0, 0, 0, 0, version]);
}

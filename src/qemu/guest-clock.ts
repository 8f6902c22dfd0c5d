/**
 * The guest's clock in a saved device state, moved forward by the time that the guest stood still.
 *
 * QEMU stops its virtual clock with the VM, so without this a guest would be late by the downtime of each of its
 * migrations. The clock is the section `timer` (softmmu/cpu-timers.c, vmstate_timers, version 2): i64 ticks, 8 unused
 * bytes, i64 nanoseconds, big-endian, both counted since the VM was first started. Under TCG they drive the TSC and
 * every timer. Under KVM the guest's clock is the kernel's (kvmclock) and is left as QEMU restores it.
 * Must hold: a stream in which the section is not found exactly once, or does not look as described, is left as it is.
 */

/** Section header in the stream: full section, its number (unknown), name with length, instance 0, version 2. */
const NAME = Buffer.from('\x05timer', 'latin1');
const INSTANCE_AND_VERSION = Buffer.from([0, 0, 0, 0, 0, 0, 0, 2]);
const SECTION_FULL = 4;
const NUMBER_BYTES = 4;
const FIELDS_BYTES = 24;

/** The guest's clock in the stream: nanoseconds since its start, or undefined when it is not found. */
export function readGuestClock(state: Buffer): number | undefined {
  const at = findFields(state);
  return at === undefined ? undefined : Number(state.readBigInt64BE(at + 16));
}

/** Moves the clock forward, in place. False when it was not found. */
export function advanceGuestClock(state: Buffer, milliseconds: number): boolean {
  const at = findFields(state);
  if (at === undefined || !(milliseconds > 0)) return false;
  const ticks = state.readBigInt64BE(at);
  const nanoseconds = state.readBigInt64BE(at + 16);
  if (ticks <= 0n || nanoseconds <= 0n) return false;
  const added = BigInt(Math.round(milliseconds * 1e6));
  // The guest's TSC runs at ticks ÷ nanoseconds, whatever machine it was started on.
  state.writeBigInt64BE(ticks + (added * ticks) / nanoseconds, at);
  state.writeBigInt64BE(nanoseconds + added, at + 16);
  return true;
}

function findFields(state: Buffer): number | undefined {
  let found: number | undefined;
  for (let name = state.indexOf(NAME); name >= 0; name = state.indexOf(NAME, name + 1)) {
    const header = name - NUMBER_BYTES - 1;
    const rest = name + NAME.length;
    const fields = rest + INSTANCE_AND_VERSION.length;
    if (header < 0 || state[header] !== SECTION_FULL || fields + FIELDS_BYTES > state.length) continue;
    if (!state.subarray(rest, fields).equals(INSTANCE_AND_VERSION)) continue;
    if (found !== undefined) return undefined;
    found = fields;
  }
  return found;
}

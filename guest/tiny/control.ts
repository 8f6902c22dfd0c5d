/**
 * The tiny guest's parameters and counters, read and changed from outside while it runs.
 *
 * Owns: nothing; works on any memory that can be read and written by offset (a VM's RamFile).
 * Must never: write while pages of the guest are still missing (post-copy): the control page would be filled with the
 * little that was written instead of what the source holds.
 */
import { CONTROL, CONTROL_ADDRESS, CONTROL_BYTES, CONTROL_MAGIC, NEVER_RESTS, WriteMode } from './layout.ts';
import { TIMER_COUNTS_PER_MICROSECOND } from './rest.ts';

/** Offsets are guest-physical addresses; `RamFile` is one. */
export interface ByteMemory {
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
}

export interface TinyGuestParameters {
  readonly firstPage: number;
  readonly pageCount: number;
  /** Turns of an empty loop after each page. */
  readonly delay: number;
  /** How long it halts after every so many pages; only of a guest that can rest. */
  readonly restMicroseconds: number;
  readonly writeMode: WriteMode;
  /** One '.' on the serial line every so many passes; 0: none. */
  readonly heartbeatPasses: number;
  readonly fillFirstPage: number;
  readonly fillPageCount: number;
  /** Of the 1024 words of a page. */
  readonly fillRandomWords: number;
}

export interface TinyGuestCounters {
  /** Complete passes over the range since the guest started. */
  readonly passes: number;
  /** Visits to pages since the guest started: the guest's measure of its own work. */
  readonly pagesWritten: number;
  /** Sectors of its ledger that its disk has taken. */
  readonly diskWrites: number;
}

const MODE_NAMES = Object.keys(WriteMode) as WriteMode[];

/** Whether the guest is up and has filled and cleared its ranges, so that the invariant holds. */
export function isTinyGuestReady(memory: ByteMemory): boolean {
  const view = readControl(memory);
  return view.getUint32(CONTROL.magic, true) === CONTROL_MAGIC && view.getUint32(CONTROL.restart, true) === 0;
}

export function readTinyCounters(memory: ByteMemory): TinyGuestCounters {
  const view = readControl(memory);
  return {
    passes: Number(view.getBigUint64(CONTROL.passes, true)),
    pagesWritten: Number(view.getBigUint64(CONTROL.pagesWritten, true)),
    diskWrites: view.getUint32(CONTROL.diskWrites, true),
  };
}

export function readTinyParameters(memory: ByteMemory): TinyGuestParameters {
  const view = readControl(memory);
  const get = (field: keyof typeof CONTROL): number => view.getUint32(CONTROL[field], true);
  const writeMode = MODE_NAMES.find((name) => WriteMode[name] === get('writeMode'));
  if (writeMode === undefined) throw new Error(`The tiny guest has the unknown write mode ${get('writeMode')}`);
  return {
    firstPage: get('firstPage'),
    pageCount: get('pageCount'),
    delay: get('delay'),
    restMicroseconds: get('restCounts') === NEVER_RESTS ? 0 : get('restCounts') / TIMER_COUNTS_PER_MICROSECOND,
    writeMode,
    heartbeatPasses: get('heartbeatPasses'),
    fillFirstPage: get('fillFirstPage'),
    fillPageCount: get('fillPageCount'),
    fillRandomWords: get('fillRandomWords'),
  };
}

/**
 * Changes parameters. Delay, rest, write mode and heartbeat count from the next page on; ranges are taken over by
 * `restartTinyGuest` only.
 */
export function writeTinyParameters(memory: ByteMemory, changes: Partial<TinyGuestParameters>): void {
  const { writeMode, restMicroseconds, ...numbers } = changes;
  for (const [field, value] of Object.entries(numbers)) writeField(memory, field as keyof typeof numbers, value);
  if (restMicroseconds !== undefined) writeRest(memory, restMicroseconds);
  if (writeMode !== undefined) writeField(memory, 'writeMode', WriteMode[writeMode]);
}

/** Changes parameters, then lets the guest fill, clear and begin again; wait for `isTinyGuestReady`. */
export function restartTinyGuest(memory: ByteMemory, changes: Partial<TinyGuestParameters> = {}): void {
  writeTinyParameters(memory, changes);
  writeField(memory, 'restart', 1);
}

function writeRest(memory: ByteMemory, microseconds: number): void {
  const canRest = readControl(memory).getUint32(CONTROL.restCounts, true) !== NEVER_RESTS;
  if (!canRest) throw new Error('This tiny guest cannot rest: build it with `restMicroseconds`');
  writeField(memory, 'restCounts', microseconds * TIMER_COUNTS_PER_MICROSECOND);
}

function readControl(memory: ByteMemory): DataView {
  const control = new Uint8Array(CONTROL_BYTES);
  memory.read(CONTROL_ADDRESS, control);
  return new DataView(control.buffer);
}

function writeField(memory: ByteMemory, field: keyof typeof CONTROL, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  memory.write(CONTROL_ADDRESS + CONTROL[field], bytes);
}

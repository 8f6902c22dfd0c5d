/**
 * What the tiny guest does once its processor is set up: the same bytes for 32-bit and for 64-bit code.
 *
 * Must hold: byte 0 of the pages of the range changes in page order and by one at a time, so that whenever the guest
 * stops they are all equal, except that those visited in this pass are one ahead of the rest (`checkInvariant`).
 * Must never: take an interrupt but the timer's while it rests, or wait for a device but the disk that it was told to write.
 * Registers: ebx control page, esi first address of the range, ebp its end, edi current page, the rest scratch.
 */
import { type Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import { emitDiskStep } from './disk-workload.ts';
import { emitIvshmemSetup } from './ivshmem-setup.ts';
import { CONTROL, CONTROL_ADDRESS, PAGE_BYTES, WriteMode } from './layout.ts';
import { emitRest, emitRestSetup } from './rest.ts';
import { emitSharingStep } from './sharing-workload.ts';

const { eax, ecx, edx, ebx, ebp, esi, edi } = Register;

const SERIAL_PORT = 0x3f8;
const LINE_STATUS_PORT = SERIAL_PORT + 5;
/** Line status: the transmitter takes a byte (16550 UART). */
const TRANSMITTER_EMPTY_BIT = 5;
export const START_CHARACTER = 'B';
export const HEARTBEAT_CHARACTER = '.';

/** What else it does after each page: calls that others do not pay for. */
export interface TinyWorkload {
  readonly sharing: boolean;
  readonly disk: boolean;
  /** The selector of its code, if it is to rest. */
  readonly restIn: number | null;
}

export function emitWorkload(code: Assembler, steps: TinyWorkload): void {
  const { sharing, disk, restIn } = steps;
  if (sharing) emitIvshmemSetup(code);
  if (restIn !== null) emitRestSetup(code, restIn);
  code.set(ebx, CONTROL_ADDRESS);
  emitCharacter(code, START_CHARACTER);
  emitRestart(code);
  emitPasses(code, steps);
  emitHeartbeat(code);
  emitRewrite(code);
  emitRandomStore(code);
  if (sharing) emitSharingStep(code);
  if (disk) emitDiskStep(code);
  if (restIn !== null) emitRest(code);
}

/** Fills the data range, clears byte 0 of the working range, takes over the working range. */
function emitRestart(code: Assembler): void {
  code.label('restart');
  code.load(esi, control('fillFirstPage'));
  code.shiftLeft(esi, 12);
  code.load(ebp, control('fillPageCount'));
  code.shiftLeft(ebp, 12);
  code.add(ebp, esi);
  code.label('fillPage');
  code.compare(esi, ebp);
  code.jumpIf(Condition.aboveOrEqual, 'filled');
  code.move(edi, esi);
  code.load(edx, control('fillRandomWords'));
  code.call('storeRandom');
  // The rest of the page: its own address, so that no two pages are equal.
  code.move(ecx, esi);
  code.addValue(ecx, PAGE_BYTES);
  code.label('fillRestWord');
  code.compare(edi, ecx);
  code.jumpIf(Condition.aboveOrEqual, 'fillNext');
  code.store({ base: edi, displacement: 0 }, esi);
  code.addValue(edi, 4);
  code.jump('fillRestWord');
  code.label('fillNext');
  code.storeByte({ base: esi, displacement: 0 }, 0);
  code.addValue(esi, PAGE_BYTES);
  code.jump('fillPage');

  code.label('filled');
  code.load(esi, control('firstPage'));
  code.shiftLeft(esi, 12);
  code.load(ebp, control('pageCount'));
  code.shiftLeft(ebp, 12);
  code.add(ebp, esi);
  code.move(edi, esi);
  code.label('clearPage');
  code.compare(edi, ebp);
  code.jumpIf(Condition.aboveOrEqual, 'cleared');
  code.storeByte({ base: edi, displacement: 0 }, 0);
  code.addValue(edi, PAGE_BYTES);
  code.jump('clearPage');
  code.label('cleared');
  code.storeValue(control('restart'), 0);
}

/** The endless loop over the working range. */
function emitPasses(code: Assembler, { sharing, disk, restIn }: TinyWorkload): void {
  code.label('pass');
  code.move(edi, esi);
  code.label('page');
  code.compareMemory(control('restart'), 0);
  code.jumpIf(Condition.notZero, 'restart');
  code.compare(edi, ebp);
  code.jumpIf(Condition.aboveOrEqual, 'passDone');
  code.incrementByte({ base: edi, displacement: 0 });
  code.load(eax, control('writeMode'));
  code.test(eax);
  code.jumpIf(Condition.notZero, 'rewrite');
  code.label('written');
  code.incrementCounter(control('pagesWritten'));
  if (sharing) code.call('share');
  if (disk) code.call('writeSector');
  if (restIn !== null) code.call('rest');
  code.load(ecx, control('delay'));
  code.test(ecx);
  code.jumpIf(Condition.zero, 'nextPage');
  code.label('spin');
  code.decrement(ecx);
  code.jumpIf(Condition.notZero, 'spin');
  code.label('nextPage');
  code.addValue(edi, PAGE_BYTES);
  code.jump('page');
}

/** After each pass: one character every so many passes, dropped when the serial line would make us wait. */
function emitHeartbeat(code: Assembler): void {
  code.label('passDone');
  code.incrementCounter(control('passes'));
  code.load(eax, control('heartbeatPasses'));
  code.test(eax);
  code.jumpIf(Condition.zero, 'pass');
  code.load(ecx, control('heartbeatLeft'));
  code.test(ecx);
  code.jumpIf(Condition.zero, 'beat');
  code.decrement(ecx);
  code.store(control('heartbeatLeft'), ecx);
  code.jumpIf(Condition.notZero, 'pass');
  code.label('beat');
  code.store(control('heartbeatLeft'), eax);
  code.set(edx, LINE_STATUS_PORT);
  code.input();
  code.shiftLeft(eax, 31 - TRANSMITTER_EMPTY_BIT);
  code.shiftRight(eax, 31);
  code.test(eax);
  code.jumpIf(Condition.zero, 'pass');
  emitCharacter(code, HEARTBEAT_CHARACTER);
  code.jump('pass');
}

/** The whole page at edi after its first four bytes; goes back to `written`. */
function emitRewrite(code: Assembler): void {
  code.label('rewrite');
  code.compareValue(eax, WriteMode.random);
  code.jumpIf(Condition.zero, 'rewriteRandom');
  code.loadByte(eax, { base: edi, displacement: 0 });
  code.or(eax, edi);
  code.set(ecx, PAGE_BYTES / 4 - 1);
  code.addValue(edi, 4);
  code.repeatStore();
  code.label('rewritten');
  code.addValue(edi, -PAGE_BYTES);
  code.jump('written');
  code.label('rewriteRandom');
  code.addValue(edi, 4);
  code.set(edx, PAGE_BYTES / 4 - 1);
  code.call('storeRandom');
  code.jump('rewritten');
}

/** Stores edx random words at edi and moves edi behind them (xorshift32, Marsaglia 2003). */
function emitRandomStore(code: Assembler): void {
  code.label('storeRandom');
  code.load(eax, control('seed'));
  code.label('randomWord');
  code.test(edx);
  code.jumpIf(Condition.zero, 'randomDone');
  code.move(ecx, eax);
  code.shiftLeft(ecx, 13);
  code.xor(eax, ecx);
  code.move(ecx, eax);
  code.shiftRight(ecx, 17);
  code.xor(eax, ecx);
  code.move(ecx, eax);
  code.shiftLeft(ecx, 5);
  code.xor(eax, ecx);
  code.store({ base: edi, displacement: 0 }, eax);
  code.addValue(edi, 4);
  code.decrement(edx);
  code.jump('randomWord');
  code.label('randomDone');
  code.store(control('seed'), eax);
  code.return();
}

function emitCharacter(code: Assembler, character: string): void {
  code.set(edx, SERIAL_PORT);
  code.set(eax, character.charCodeAt(0));
  code.output();
}

function control(field: keyof typeof CONTROL): MemoryOperand {
  return { base: ebx, displacement: CONTROL[field] };
}

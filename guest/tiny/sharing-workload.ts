/**
 * The tiny guest's part in the sharing workload: one step of it after each page of its private range.
 *
 * The guest is a member of guest/sharing/region-layout.ts. In each step it increments the next counter, writes an entry
 * if its ring has room, reads one if the other has any, and rewrites the next page of its own. Before it overwrites a
 * thing it checks that it is as it must be.
 * Must hold: notes in private memory are made right after the write that they are about, so that a stop leaves at most
 * one write of each kind unnoted (coherence.ts counts on that); entries are stored before `produced` is. Must never:
 * leave a register changed but eax, ecx and edx.
 */
import { OWN_LAST_WORD, OWN_MARK_WORD, REGION_PAGE_BYTES } from '../sharing/region-layout.ts';
import { type Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import { BAR_ADDRESS, COUNTS_ADDRESS, SHARING, SHARING_ADDRESS } from './sharing-layout.ts';

const { eax, ecx, edx, ebp, esi, edi } = Register;

const CONSUMED = REGION_PAGE_BYTES;
const ENTRIES = 2 * REGION_PAGE_BYTES;
const ENTRY_SHIFT = 4;

const ErrorKind = { counter: 1, produced: 2, ring: 3, entry: 4, consumed: 5, own: 6 } as const;

/** The subroutine `share`. */
export function emitSharingStep(code: Assembler): void {
  code.label('share');
  for (const register of [esi, edi, ebp]) emitPush(code, register);
  code.set(esi, SHARING_ADDRESS);
  emitCounter(code);
  emitWriteEntry(code);
  emitReadEntry(code);
  emitOwnPage(code);
  for (const register of [ebp, edi, esi]) emitPop(code, register);
  code.return();
  emitMix(code);
  emitError(code);
}

function emitCounter(code: Assembler): void {
  code.load(ecx, sharing('counterAt'));
  code.move(edi, ecx);
  code.shiftLeft(edi, 12);
  code.addValue(edi, BAR_ADDRESS);
  code.addValue(ecx, 1);
  code.store(sharing('pendingCounter'), ecx);
  code.set(ebp, 1);
  code.lockedExchangeAdd({ base: edi, displacement: 0 }, ebp);
  code.addValue(ecx, -1);
  code.shiftLeft(ecx, 3);
  code.increment({ base: ecx, displacement: COUNTS_ADDRESS });
  code.storeValue(sharing('pendingCounter'), 0);
  // Others have only added to what this member left there.
  code.load(eax, { base: ecx, displacement: COUNTS_ADDRESS + 4 });
  code.move(edx, ebp);
  code.subtract(edx, eax);
  code.shiftRight(edx, 31);
  code.test(edx);
  emitErrorIf(code, Condition.notZero, ErrorKind.counter, 'counterFine');
  code.addValue(ebp, 1);
  code.store({ base: ecx, displacement: COUNTS_ADDRESS + 4 }, ebp);
  code.incrementCounter(sharing('increments'));
  code.shiftRight(ecx, 3);
  code.addValue(ecx, 1);
  code.load(eax, sharing('counterPages'));
  code.compare(ecx, eax);
  code.jumpIf(Condition.below, 'counterNext');
  code.set(ecx, 0);
  code.label('counterNext');
  code.store(sharing('counterAt'), ecx);
}

function emitWriteEntry(code: Assembler): void {
  code.load(edi, sharing('writtenRing'));
  code.load(eax, sharing('produced'));
  code.load(ebp, { base: edi, displacement: 0 });
  code.compare(ebp, eax);
  emitErrorIf(code, Condition.notZero, ErrorKind.produced, 'producedFine');
  code.load(edx, { base: edi, displacement: CONSUMED });
  code.move(ebp, eax);
  code.subtract(ebp, edx);
  code.load(ecx, sharing('ringEntries'));
  code.compare(ebp, ecx);
  code.jumpIf(Condition.below, 'writeEntry');
  emitErrorIf(code, Condition.notZero, ErrorKind.ring, 'ringFull');
  code.jump('entryWritten');

  code.label('writeEntry');
  emitEntryAddress(code);
  code.store({ base: ecx, displacement: ENTRIES }, eax);
  code.load(ebp, sharing('writtenSalt'));
  code.call('mix');
  code.store({ base: ecx, displacement: ENTRIES + 4 }, edx);
  code.set(edx, 0xffffffff);
  code.xor(edx, eax);
  code.store({ base: ecx, displacement: ENTRIES + 8 }, edx);
  code.load(edx, sharing('member'));
  code.store({ base: ecx, displacement: ENTRIES + 12 }, edx);
  code.addValue(eax, 1);
  code.store({ base: edi, displacement: 0 }, eax);
  code.store(sharing('produced'), eax);
  code.label('entryWritten');
}

function emitReadEntry(code: Assembler): void {
  code.load(edi, sharing('readRing'));
  code.load(eax, sharing('consumed'));
  code.load(ebp, { base: edi, displacement: CONSUMED });
  code.compare(ebp, eax);
  emitErrorIf(code, Condition.notZero, ErrorKind.consumed, 'consumedFine');
  code.load(ebp, { base: edi, displacement: 0 });
  code.subtract(ebp, eax);
  code.test(ebp);
  code.jumpIf(Condition.zero, 'entryRead');
  code.load(ecx, sharing('ringEntries'));
  code.compare(ecx, ebp);
  code.jumpIf(Condition.aboveOrEqual, 'readEntry');
  emitErrorIf(code, Condition.notZero, ErrorKind.ring, 'ringOverrun');
  code.jump('entryRead');

  code.label('readEntry');
  emitEntryAddress(code);
  code.load(ebp, sharing('readSalt'));
  code.call('mix');
  code.load(ebp, { base: ecx, displacement: ENTRIES + 4 });
  code.compare(ebp, edx);
  code.jumpIf(Condition.notZero, 'entryWrong');
  code.set(edx, 0xffffffff);
  code.xor(edx, eax);
  code.load(ebp, { base: ecx, displacement: ENTRIES + 8 });
  code.compare(ebp, edx);
  code.jumpIf(Condition.notZero, 'entryWrong');
  code.load(edx, sharing('readWriter'));
  code.load(ebp, { base: ecx, displacement: ENTRIES + 12 });
  code.compare(ebp, edx);
  code.jumpIf(Condition.notZero, 'entryWrong');
  code.load(ebp, { base: ecx, displacement: ENTRIES });
  code.compare(ebp, eax);
  code.jumpIf(Condition.zero, 'entryRight');
  // Whatever is wrong, the two sequence numbers tell most.
  code.label('entryWrong');
  code.load(ebp, { base: ecx, displacement: ENTRIES });
  emitPush(code, edi);
  code.move(edi, ecx);
  code.addValue(edi, ENTRIES);
  code.set(edx, ErrorKind.entry);
  code.call('sharingError');
  emitPop(code, edi);
  code.label('entryRight');
  code.addValue(eax, 1);
  code.store({ base: edi, displacement: CONSUMED }, eax);
  code.store(sharing('consumed'), eax);
  code.label('entryRead');
}

/** ecx = address of entry eax of the ring at edi, less ENTRIES. */
function emitEntryAddress(code: Assembler): void {
  code.load(ecx, sharing('ringMask'));
  code.and(ecx, eax);
  code.shiftLeft(ecx, ENTRY_SHIFT);
  code.add(ecx, edi);
}

function emitOwnPage(code: Assembler): void {
  code.load(eax, sharing('ownWrites'));
  // ownPages is a power of two: eax modulo it, and eax divided by it without a division that the assembler lacks.
  code.load(ecx, sharing('ownPages'));
  code.move(edx, ecx);
  code.addValue(edx, -1);
  code.and(edx, eax);
  code.label('ownDivide');
  code.shiftRight(ecx, 1);
  code.test(ecx);
  code.jumpIf(Condition.zero, 'ownDivided');
  code.shiftRight(eax, 1);
  code.jump('ownDivide');
  code.label('ownDivided');
  code.load(ecx, sharing('ownFirstPage'));
  code.add(ecx, edx);
  code.move(edi, ecx);
  code.shiftLeft(edi, 12);
  code.addValue(edi, BAR_ADDRESS);
  code.load(ebp, { base: edi, displacement: 0 });
  code.compare(ebp, eax);
  emitErrorIf(code, Condition.notZero, ErrorKind.own, 'ownFirstFine');
  code.load(ebp, { base: edi, displacement: OWN_LAST_WORD });
  code.compare(ebp, eax);
  emitErrorIf(code, Condition.notZero, ErrorKind.own, 'ownLastFine');
  code.addValue(eax, 1);
  code.addValue(ecx, 1);
  code.store({ base: edi, displacement: 0 }, eax);
  code.store({ base: edi, displacement: OWN_MARK_WORD }, ecx);
  code.store({ base: edi, displacement: OWN_LAST_WORD }, eax);
  code.increment(sharing('ownWrites'));
}

/** edx = what the second word of entry eax must be; ebp has the salt and is scratch afterwards. */
function emitMix(code: Assembler): void {
  code.label('mix');
  code.move(edx, eax);
  code.xor(edx, ebp);
  code.move(ebp, edx);
  code.shiftLeft(ebp, 13);
  code.xor(edx, ebp);
  code.move(ebp, edx);
  code.shiftRight(ebp, 17);
  code.xor(edx, ebp);
  code.move(ebp, edx);
  code.shiftLeft(ebp, 5);
  code.xor(edx, ebp);
  code.return();
}

/** With edi the address, ebp what was found, eax what was expected; edx is lost, all else stays. */
function emitErrorIf(code: Assembler, condition: Condition, kind: number, fine: string): void {
  // Conditions come in pairs that differ in bit 0.
  code.jumpIf((condition ^ 1) as Condition, fine);
  code.set(edx, kind);
  code.call('sharingError');
  code.label(fine);
}

function emitError(code: Assembler): void {
  code.label('sharingError');
  code.increment(sharing('errors'));
  code.compareMemory(sharing('errorKind'), 0);
  code.jumpIf(Condition.notZero, 'errorNoted');
  code.store(sharing('errorKind'), edx);
  code.store(sharing('errorAddress'), edi);
  code.store(sharing('errorFound'), ebp);
  code.store(sharing('errorExpected'), eax);
  code.label('errorNoted');
  code.return();
}

/** The whole register, 32 or 64 bits as the mode has it. */
function emitPush(code: Assembler, register: Register): void {
  code.emit(0x50 + register);
}

function emitPop(code: Assembler, register: Register): void {
  code.emit(0x58 + register);
}

function sharing(field: keyof typeof SHARING): MemoryOperand {
  return { base: esi, displacement: SHARING[field] };
}

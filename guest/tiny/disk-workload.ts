/**
 * The tiny guest's ledger on a disk: after each page of its range one sector, which holds its number in the order of all.
 *
 * The disk is the first one of a controller at the ports of old (QEMU's `isa-ide`), written without interrupts: the guest
 * waits until the disk has taken a sector, and then counts it. So whenever it stops each sector is the last that was
 * written there, except that the next one may be there already (`checkLedger`).
 * Must never: leave a register changed but eax, ecx and edx. ATA/ATAPI-4: 7.15 (registers), 9.6 (PIO data-out).
 */
import { type Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import { CONTROL, DISK_BUFFER_ADDRESS, SECTOR_BYTES } from './layout.ts';

const { eax, ecx, edx, ebx, esi, edi } = Register;

const Port = {
  data: 0x1f0,
  count: 0x1f2,
  low: 0x1f3,
  middle: 0x1f4,
  high: 0x1f5,
  drive: 0x1f6,
  command: 0x1f7,
} as const;
/** The first drive, addressed by sector numbers. */
const FIRST_DRIVE_LBA = 0xe0;
const WRITE_SECTORS = 0x30;
/** Of the status, which is read at the port of commands. */
const BUSY_BIT = 7;
const DATA_REQUEST_BIT = 3;

/** The subroutine `writeSector`. */
export function emitDiskStep(code: Assembler): void {
  code.label('writeSector');
  code.emit(0x50 + esi, 0x50 + edi); // push
  code.load(eax, control('diskWrites'));
  code.addValue(eax, 1);
  code.set(edi, DISK_BUFFER_ADDRESS);
  code.set(ecx, SECTOR_BYTES / 4);
  code.repeatStore();
  code.load(ecx, control('diskMask'));
  code.and(eax, ecx);
  code.move(edi, eax);
  emitWait(code, 'diskIdle', BUSY_BIT, Condition.notZero);
  emitOutput(code, Port.drive, FIRST_DRIVE_LBA);
  emitOutput(code, Port.count, 1);
  code.move(eax, edi);
  code.set(edx, Port.low);
  code.output();
  code.shiftRight(eax, 8);
  code.set(edx, Port.middle);
  code.output();
  emitOutput(code, Port.high, 0);
  emitOutput(code, Port.command, WRITE_SECTORS);
  emitWait(code, 'diskWants', DATA_REQUEST_BIT, Condition.zero);
  code.set(esi, DISK_BUFFER_ADDRESS);
  code.set(ecx, SECTOR_BYTES / 4);
  code.set(edx, Port.data);
  code.emit(0xf3, 0x6f); // rep outsd
  emitWait(code, 'diskHas', BUSY_BIT, Condition.notZero);
  code.increment(control('diskWrites'));
  code.emit(0x58 + edi, 0x58 + esi); // pop
  code.return();
}

/** Until the bit of the status is the other way. */
function emitWait(code: Assembler, label: string, bit: number, again: Condition): void {
  code.label(label);
  code.set(edx, Port.command);
  code.input();
  code.shiftLeft(eax, 31 - bit);
  code.shiftRight(eax, 31);
  code.test(eax);
  code.jumpIf(again, label);
}

function emitOutput(code: Assembler, port: number, value: number): void {
  code.set(edx, port);
  code.set(eax, value);
  code.output();
}

function control(field: keyof typeof CONTROL): MemoryOperand {
  return { base: ebx, displacement: CONTROL[field] };
}

/**
 * How the tiny guest comes to its shared memory: it looks for an ivshmem device and places the BAR itself.
 *
 * Must hold: the device is on bus 0 (behind a bridge there would be the bridge to set up as well), and the first one
 * counts. PCI local bus specification 3.0: 3.2.2.3.2 (configuration mechanism 1), 6.2.5.1 (base address registers);
 * QEMU, docs/specs/ivshmem-spec: the memory is BAR 2.
 */
import { type Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import { BAR_ADDRESS, SHARING, SHARING_ADDRESS, SharingState } from './sharing-layout.ts';

const { eax, ecx, edx, ebp, esi } = Register;

const CONFIG_ADDRESS_PORT = 0xcf8;
const CONFIG_DATA_PORT = 0xcfc;
const CONFIG_ENABLE = 0x80000000;
const DEVICE_STEP = 1 << 11;
const DEVICES_PER_BUS = 32;
/** ivshmem: device 1110 of vendor 1af4. */
const IVSHMEM_ID = 0x11101af4;
const COMMAND_REGISTER = 0x04;
const COMMAND_MEMORY = 0x02;
/** The lower half of the 64-bit BAR 2 and the upper one. */
const BAR_2_REGISTER = 0x18;
const BAR_3_REGISTER = 0x1c;
const BAR_FLAG_BITS = 4;

/** Once, before anything else. Without a device the guest waits for ever. Changes eax, ecx, edx, ebp and esi. */
export function emitIvshmemSetup(code: Assembler): void {
  code.set(esi, SHARING_ADDRESS);
  code.set(ebp, CONFIG_ENABLE);
  code.label('findDevice');
  emitConfigRead(code, 0);
  code.compareValue(eax, IVSHMEM_ID);
  code.jumpIf(Condition.zero, 'deviceFound');
  code.addValue(ebp, DEVICE_STEP);
  code.compareValue(ebp, (CONFIG_ENABLE + DEVICES_PER_BUS * DEVICE_STEP) | 0);
  code.jumpIf(Condition.notZero, 'findDevice');
  code.storeValue(sharing('state'), SharingState.noDevice);
  code.label('noDevice');
  code.jump('noDevice');

  code.label('deviceFound');
  emitConfigWrite(code, BAR_2_REGISTER, 0xffffffff);
  emitConfigRead(code, BAR_2_REGISTER);
  // The bits that stayed zero are the size - 1.
  code.shiftRight(eax, BAR_FLAG_BITS);
  code.shiftLeft(eax, BAR_FLAG_BITS);
  code.set(ecx, 0xffffffff);
  code.xor(eax, ecx);
  code.addValue(eax, 1);
  code.store(sharing('regionBytes'), eax);
  emitConfigWrite(code, BAR_2_REGISTER, BAR_ADDRESS);
  emitConfigWrite(code, BAR_3_REGISTER, 0);
  emitConfigWrite(code, COMMAND_REGISTER, COMMAND_MEMORY);
  code.storeValue(sharing('state'), SharingState.working);
}

/** eax = the register of the device whose configuration begins at ebp. */
function emitConfigRead(code: Assembler, register: number): void {
  emitConfigSelect(code, register);
  code.emit(0xed); // in eax, dx
}

function emitConfigWrite(code: Assembler, register: number, value: number): void {
  emitConfigSelect(code, register);
  code.set(eax, value);
  code.emit(0xef); // out dx, eax
}

function emitConfigSelect(code: Assembler, register: number): void {
  code.move(eax, ebp);
  code.addValue(eax, register);
  code.set(edx, CONFIG_ADDRESS_PORT);
  code.emit(0xef); // out dx, eax
  code.set(edx, CONFIG_DATA_PORT);
}

function sharing(field: keyof typeof SHARING): MemoryOperand {
  return { base: esi, displacement: SHARING[field] };
}

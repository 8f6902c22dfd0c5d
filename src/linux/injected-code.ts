/**
 * The code that a thread of another process is made to run (ptrace.ts): one `syscall`, and the way back.
 *
 * Owns: its bytes, its place, and the frame from which it takes the registers that the thread had. Pure.
 * Must hold: the thread needs nobody from the first instruction on. Whoever traces it may be killed at any moment; the kernel
 * lets it go on then, and it comes back by itself with every register as it was.
 * The code changes nothing but what a system call takes and gives, and the stack pointer; the frame holds just these. It lies
 * where the kernel would put that of a signal: below the stack pointer and the 128 bytes beneath it that belong to the thread.
 * The place is the first section header of the vDSO: 64 bytes that are zero in every ELF file, executable as the whole file is,
 * and looked at by debuggers at most. (The kernel is built from this file's section headers, so it has some.) The page becomes
 * the process's own when ptrace writes it.
 * https://gitlab.com/x86-psABIs/x86-64-ABI, https://man7.org/linux/man-pages/man7/vdso.7.html,
 * arch_do_signal_or_restart() in arch/x86/kernel/signal.c, include/linux/errno.h
 */
import { UserRegs } from './abi/ptrace.ts';
import { X64_SYSCALLS } from './abi/syscalls.ts';

/** The kernel has the instruction behind it where a call begins and ends, and before it where one begins again. */
export const SYSCALL_BYTES = 2n;

// syscall; pop rdi; pop rsi; pop rdx; pop r10; pop r8; pop r9; pop r11; pop rcx; pop rax; popfq; ret 128; int3 …
// Whoever changes this puts it at another place within the 64 bytes: a QEMU may have this one.
const CODE = Buffer.from('0f055f5e5a415a41584159415b59589dc28000cccccccccc', 'hex');
/** In the order in which the code takes them. */
const FRAME = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9', 'r11', 'rcx', 'rax', 'eflags', 'rip'] as const;
const RED_ZONE_BYTES = 128;

const WORD_BYTES = 8;
const ELF_MAGIC = 0x464c457f;
const ELF_SECTION_HEADERS_AT = 0x28;

/** ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND: what an interrupted system call returns, for the kernel to call it again. */
const CALL_AGAIN: readonly bigint[] = [-512n, -513n, -514n];
/** ERESTART_RESTARTBLOCK: the same by a system call that knows how much of the time is left. */
const CALL_RESTART = -516n;

/** What is to be where. */
export interface Words {
  readonly address: bigint;
  readonly words: BigUint64Array;
}

/**
 * The code and its place, whether it is there already or not.
 *
 * @returns why there is none, where the vDSO is not as it must be
 */
export function placeCode(vdso: { readonly start: bigint; readonly bytes: Buffer }): Words | string {
  const { start, bytes } = vdso;
  if (bytes.length < WORD_BYTES * WORD_BYTES || bytes.readUInt32LE(0) !== ELF_MAGIC) return 'its vDSO is no ELF file';
  const at = Number(bytes.readBigUInt64LE(ELF_SECTION_HEADERS_AT));
  if (at === 0 || at + CODE.length > bytes.length) return 'its vDSO has no section headers';
  const words = wordsOf(CODE);
  // Some of the code is there where somebody was killed while writing it.
  const isFree = wordsOf(bytes.subarray(at, at + CODE.length)).every((word, i) => word === 0n || word === words[i]);
  return isFree ? { address: start + BigInt(at), words } : 'its vDSO has been changed by somebody else';
}

/** What a thread that has been stopped with these registers comes back by. */
export function frameOf(registers: BigUint64Array): Words {
  const values = registers.slice();
  const call = BigInt.asIntN(32, registers[UserRegs.origRax]!);
  const result = BigInt.asIntN(64, registers[UserRegs.rax]!);
  // An interrupted call begins again, as the kernel would have it begin if the thread stood there when it is let go.
  if (call !== -1n && (CALL_AGAIN.includes(result) || result === CALL_RESTART)) {
    values[UserRegs.rax] = result === CALL_RESTART ? BigInt(X64_SYSCALLS.restart_syscall) : BigInt.asUintN(64, call);
    values[UserRegs.rip]! -= SYSCALL_BYTES;
  }
  const words = BigUint64Array.from(FRAME, (name) => values[UserRegs[name]]!);
  return { address: values[UserRegs.rsp]! - BigInt(RED_ZONE_BYTES + words.byteLength), words };
}

function wordsOf(bytes: Buffer): BigUint64Array {
  return BigUint64Array.from({ length: bytes.length / WORD_BYTES }, (_, i) => bytes.readBigUInt64LE(i * WORD_BYTES));
}

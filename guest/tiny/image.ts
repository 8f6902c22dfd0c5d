/**
 * The tiny guest: a whole BIOS image that QEMU starts with `-bios`, up in some 50 ms, of our own making.
 *
 * Must hold: the image copies itself to RAM and runs there, so that its code migrates as memory does; nothing but the
 * boot processor ever runs (others wait for a start-up message that nobody sends); descriptors and page tables have
 * their accessed and dirty bits set beforehand, so that the processor never writes them.
 * Intel SDM volume 3, chapter 9.9 (mode switching) and 9.8.5 (entering long mode).
 */
import { Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import {
  CODE_ADDRESS,
  CONTROL,
  CONTROL_ADDRESS,
  CONTROL_BYTES,
  CONTROL_MAGIC,
  FIRST_USABLE_PAGE,
  MAPPED_BYTES,
  NEVER_RESTS,
  PAGE_BYTES,
  PAGE_TABLES_ADDRESS,
  STACK_TOP_ADDRESS,
  WriteMode,
} from './layout.ts';
import { MAX_REST_MICROSECONDS, TIMER_COUNTS_PER_MICROSECOND } from './rest.ts';
import { initialSharing, SHARING_ADDRESS, SHARING_BYTES, type TinySharing } from './sharing-layout.ts';
import { emitWorkload, type TinyWorkload } from './workload.ts';

export interface TinyGuestOptions {
  /** `long3`: 64-bit code in ring 3, the mode that runs natively under KVM here; `prot32`: 32-bit code in ring 0. */
  readonly mode: 'long3' | 'prot32';
  /** At least `FIRST_USABLE_PAGE`. */
  readonly firstPage: number;
  readonly pageCount: number;
  /** Turns of an empty loop after each page; default 0. */
  readonly delay?: number;
  /** It can halt after its pages, at first for so long; `prot32` under QEMU's own APIC only. Default: it cannot. */
  readonly restMicroseconds?: number;
  /** After every so many pages, a power of two; default 1. */
  readonly restPages?: number;
  readonly writeMode?: WriteMode;
  /** One '.' on the serial line every so many passes; default 0: none. */
  readonly heartbeatPasses?: number;
  /** Data that is written once before the first pass; it may overlap the range. */
  readonly fill?: TinyGuestFill;
  /** It works on the memory of an ivshmem device as well, of which the VM must have one; default: it does not. */
  readonly sharing?: TinySharing;
  /** It writes to the first disk of an `isa-ide`, over and over the first so many sectors, a power of two up to 65536. */
  readonly diskSectors?: number;
}

export interface TinyGuestFill {
  readonly firstPage: number;
  readonly pageCount: number;
  /** How many of a page's 1024 words are random, the rest compress well; default 512. */
  readonly randomWords?: number;
}

export const BIOS_BYTES = 65_536;
/** The segment through which a processor sees the end of the BIOS after its first far jump. */
const BIOS_SEGMENT = 0xf000;
const RESET_VECTOR_OFFSET = 0xfff0;
const COPY_OFFSET = 0x1000;
const DEFAULT_SEED = 0x9e3779b9;

/** Selectors of the descriptor table below. The user ones are Linux's own: paravirtual KVM knows no others. */
const KERNEL_CODE_32 = 0x08;
const KERNEL_DATA = 0x10;
const KERNEL_CODE_64 = 0x18;
const USER_DATA = 0x2b;
const USER_CODE_64 = 0x33;
const IOPL_3 = 0x3002;

/** The image for `-bios`. Throws RangeError when a range does not fit. */
export function buildTinyGuest(options: TinyGuestOptions): Uint8Array {
  checkRange('range', options.firstPage, options.pageCount);
  if (options.fill !== undefined) checkRange('fill', options.fill.firstPage, options.fill.pageCount);
  const { mode, sharing, diskSectors = 0, restMicroseconds } = options;
  checkRest(options);
  if (restMicroseconds !== undefined && mode !== 'prot32') throw new RangeError('Only a guest in mode prot32 can rest');
  const payloadEnd = sharing === undefined ? CONTROL_ADDRESS + CONTROL_BYTES : SHARING_ADDRESS + SHARING_BYTES;
  const payload = new Uint8Array(payloadEnd - CODE_ADDRESS);
  const restIn = restMicroseconds === undefined ? null : KERNEL_CODE_32;
  const code = assembleProtectedMode(mode, { sharing: sharing !== undefined, disk: diskSectors > 0, restIn });
  if (CODE_ADDRESS + code.length > CONTROL_ADDRESS) throw new Error('The code of the tiny guest has outgrown its page');
  payload.set(code, 0);
  payload.set(initialControl(options), CONTROL_ADDRESS - CODE_ADDRESS);
  if (sharing !== undefined) payload.set(initialSharing(sharing), SHARING_ADDRESS - CODE_ADDRESS);

  const image = new Uint8Array(BIOS_BYTES);
  image.set(assembleRealMode(payload.length), 0);
  image.set(payload, COPY_OFFSET);
  // jmp far BIOS_SEGMENT:0
  image.set([0xea, 0, 0, BIOS_SEGMENT & 0xff, BIOS_SEGMENT >> 8], RESET_VECTOR_OFFSET);
  return image;
}

/** From the reset vector, in 16-bit code: copies the payload to RAM and enters protected mode there. */
function assembleRealMode(payloadBytes: number): Uint8Array {
  const code = new Assembler(0);
  code.emit(0xfa, 0xfc); // cli; cld
  code.emit(0x8c, 0xc8, 0x8e, 0xd8); // mov ax, cs; mov ds, ax
  code.emit(0x31, 0xc0, 0x8e, 0xc0); // xor ax, ax; mov es, ax
  code.emit(0xbe); // mov si, COPY_OFFSET
  code.word(COPY_OFFSET);
  code.emit(0xbf); // mov di, CODE_ADDRESS
  code.word(CODE_ADDRESS);
  code.emit(0xb9); // mov cx, words
  code.word(payloadBytes / 4);
  code.emit(0xf3, 0x66, 0xa5); // rep movsd
  code.emit(0x8e, 0xd8); // mov ds, ax
  code.emit(0x66, 0x0f, 0x01, 0x16); // lgdt [CODE_ADDRESS]
  code.word(CODE_ADDRESS);
  code.emit(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); // mov eax, cr0; or al, 1; mov cr0, eax
  code.emit(0x66, 0xea); // jmp far KERNEL_CODE_32:ENTRY
  code.dword(ENTRY_ADDRESS);
  code.word(KERNEL_CODE_32);
  return code.finish();
}

const ENTRY_ADDRESS = CODE_ADDRESS + 0x40;

/** At CODE_ADDRESS: the descriptor table's pointer and the table, then the code that is entered at ENTRY_ADDRESS. */
function assembleProtectedMode(mode: TinyGuestOptions['mode'], steps: TinyWorkload): Uint8Array {
  const code = new Assembler(CODE_ADDRESS);
  code.word(7 * 8 - 1);
  code.address('descriptors');
  code.align(8);
  code.label('descriptors');
  emitDescriptor(code, 0, 0);
  emitDescriptor(code, 0x9b, 0xcf); // 0x08 ring 0 code, 32-bit, flat
  emitDescriptor(code, 0x93, 0xcf); // 0x10 ring 0 data, flat
  emitDescriptor(code, 0x9b, 0xaf); // 0x18 ring 0 code, 64-bit
  emitDescriptor(code, 0, 0);
  emitDescriptor(code, 0xf3, 0xcf); // 0x28 ring 3 data, flat
  emitDescriptor(code, 0xfb, 0xaf); // 0x30 ring 3 code, 64-bit
  code.align(0x40);
  code.emit(0x66, 0xb8); // mov ax, KERNEL_DATA
  code.word(KERNEL_DATA);
  code.emit(0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0); // mov ds, ax; mov es, ax; mov ss, ax
  code.emit(0xbc); // mov esp, STACK_TOP_ADDRESS
  code.dword(STACK_TOP_ADDRESS);
  if (mode === 'long3') emitLongMode(code);
  code.label('workload');
  emitWorkload(code, steps);
  return code.finish();
}

/** An access byte and flags of a flat segment. */
function emitDescriptor(code: Assembler, access: number, flags: number): void {
  const limit = access === 0 ? 0 : 0xffff;
  code.word(limit);
  code.emit(0, 0, 0, access, flags, 0);
}

/** Identity map of 2 MiB pages, long mode, then ring 3 by an interrupt return that also lets it use ports. */
function emitLongMode(code: Assembler): void {
  const [PRESENT_WRITABLE_USER_ACCESSED, DIRTY_LARGE] = [0x27, 0xc0];
  const largePage = 2 ** 21;
  code.set(Register.edi, PAGE_TABLES_ADDRESS);
  const table = (index: number): MemoryOperand => ({ base: Register.edi, displacement: index * PAGE_BYTES });
  code.storeValue(table(0), (PAGE_TABLES_ADDRESS + PAGE_BYTES) | PRESENT_WRITABLE_USER_ACCESSED);
  code.storeValue(table(1), (PAGE_TABLES_ADDRESS + 2 * PAGE_BYTES) | PRESENT_WRITABLE_USER_ACCESSED);
  code.set(Register.eax, PRESENT_WRITABLE_USER_ACCESSED | DIRTY_LARGE);
  code.label('mapPage');
  code.store(table(2), Register.eax);
  code.addValue(Register.edi, 8);
  code.addValue(Register.eax, largePage);
  code.compareValue(Register.eax, MAPPED_BYTES);
  code.jumpIf(Condition.below, 'mapPage');

  code.set(Register.eax, PAGE_TABLES_ADDRESS);
  code.emit(0x0f, 0x22, 0xd8); // mov cr3, eax
  code.emit(0x0f, 0x20, 0xe0, 0x0c, 0x20, 0x0f, 0x22, 0xe0); // mov eax, cr4; or al, PAE; mov cr4, eax
  code.set(Register.ecx, 0xc0000080); // EFER
  code.emit(0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30); // rdmsr; or eax, LME; wrmsr
  code.emit(0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0); // mov eax, cr0; or eax, PG; mov cr0, eax
  code.emit(0xea); // jmp far KERNEL_CODE_64:long
  code.address('long');
  code.word(KERNEL_CODE_64);
  code.label('long');
  code.emit(0x66, 0xb8); // mov ax, USER_DATA
  code.word(USER_DATA);
  code.emit(0x8e, 0xd8, 0x8e, 0xc0); // mov ds, ax; mov es, ax
  for (const value of [USER_DATA, STACK_TOP_ADDRESS, IOPL_3, USER_CODE_64]) {
    code.emit(0x68); // push value
    code.dword(value);
  }
  code.emit(0x68); // push the address of the workload
  code.address('workload');
  code.emit(0x48, 0xcf); // iretq: paravirtual KVM does it in 64-bit code only
}

function initialControl(options: TinyGuestOptions): Uint8Array {
  const control = new Uint8Array(CONTROL_BYTES);
  const view = new DataView(control.buffer);
  const set = (field: keyof typeof CONTROL, value: number): void => view.setUint32(CONTROL[field], value, true);
  set('restart', 1);
  set('firstPage', options.firstPage);
  set('pageCount', options.pageCount);
  set('delay', options.delay ?? 0);
  set('writeMode', WriteMode[options.writeMode ?? 'byte']);
  set('heartbeatPasses', options.heartbeatPasses ?? 0);
  set('fillFirstPage', options.fill?.firstPage ?? FIRST_USABLE_PAGE);
  set('fillPageCount', options.fill?.pageCount ?? 0);
  set('fillRandomWords', options.fill?.randomWords ?? PAGE_BYTES / 8);
  set('seed', DEFAULT_SEED);
  set('diskMask', Math.max(0, (options.diskSectors ?? 0) - 1));
  set('restMask', (options.restPages ?? 1) - 1);
  const { restMicroseconds } = options;
  set('restCounts', restMicroseconds === undefined ? NEVER_RESTS : restMicroseconds * TIMER_COUNTS_PER_MICROSECOND);
  set('magic', CONTROL_MAGIC);
  return control;
}

function checkRest({ restPages = 1, restMicroseconds = 0 }: TinyGuestOptions): void {
  const isPower = Number.isSafeInteger(restPages) && restPages > 0 && (restPages & (restPages - 1)) === 0;
  if (!isPower) throw new RangeError(`The tiny guest rests after a power of two of pages, not after ${restPages}`);
  if (restMicroseconds >= 0 && restMicroseconds <= MAX_REST_MICROSECONDS) return;
  throw new RangeError(
    `The tiny guest rests for at most ${MAX_REST_MICROSECONDS} microseconds, not for ${restMicroseconds}`,
  );
}

function checkRange(name: string, firstPage: number, pageCount: number): void {
  const fits =
    Number.isSafeInteger(firstPage) &&
    Number.isSafeInteger(pageCount) &&
    firstPage >= FIRST_USABLE_PAGE &&
    pageCount >= 0 &&
    (firstPage + pageCount) * PAGE_BYTES <= MAPPED_BYTES;
  if (fits) return;
  throw new RangeError(`The ${name} of ${pageCount} pages from page ${firstPage} does not fit the tiny guest`);
}

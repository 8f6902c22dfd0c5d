/**
 * A very small x86 assembler: the few instructions that the tiny guest needs, with labels.
 *
 * Owns: the bytes of one piece of code and the places in it that wait for a label. Must hold: every instruction below
 * has the same encoding and the same meaning in 32-bit and in 64-bit code (32-bit operands, a base register with a
 * displacement, no one-byte `inc` and `dec`, which are prefixes in 64-bit code), so that one program serves both; what
 * differs, and 16-bit code, is given as bytes through `emit`. Must never: leave a label unresolved (`finish` throws).
 * Encodings: Intel SDM volume 2.
 */

/** Numbers as in the encoding. esp is missing: as a base register it needs one byte more. */
export const Register = { eax: 0, ecx: 1, edx: 2, ebx: 3, ebp: 5, esi: 6, edi: 7 } as const;
export type Register = (typeof Register)[keyof typeof Register];

/** Condition codes of `jcc`. */
export const Condition = { below: 0x2, aboveOrEqual: 0x3, zero: 0x4, notZero: 0x5 } as const;
export type Condition = (typeof Condition)[keyof typeof Condition];

/** `[base + displacement]` */
export interface MemoryOperand {
  readonly base: Register;
  readonly displacement: number;
}

interface Fixup {
  readonly at: number;
  readonly bytes: 2 | 4;
  readonly label: string;
  readonly kind: 'relative' | 'absolute';
}

export class Assembler {
  readonly #origin: number;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: Fixup[] = [];

  /** @param origin - the address that the first byte will have when it runs */
  constructor(origin: number) {
    this.#origin = origin;
  }

  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`The label ${name} is there twice`);
    this.#labels.set(name, this.#bytes.length);
  }

  emit(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }

  align(bytes: number): void {
    while ((this.#origin + this.#bytes.length) % bytes !== 0) this.emit(0);
  }

  word(value: number): void {
    this.emit(value & 0xff, (value >>> 8) & 0xff);
  }

  dword(value: number): void {
    this.word(value & 0xffff);
    this.word(value >>> 16);
  }

  /** The address of a label, as data or as part of an instruction. */
  address(label: string, bytes: 2 | 4 = 4): void {
    this.#fix(label, bytes, 'absolute');
  }

  /** `register = value` */
  set(register: Register, value: number): void {
    this.emit(0xb8 + register);
    this.dword(value);
  }

  /** `to = from` */
  move(to: Register, from: Register): void {
    this.emit(0x89, registers(from, to));
  }

  load(to: Register, from: MemoryOperand): void {
    this.#memory(0x8b, to, from);
  }

  store(to: MemoryOperand, from: Register): void {
    this.#memory(0x89, from, to);
  }

  storeValue(to: MemoryOperand, value: number): void {
    this.#memory(0xc7, 0, to);
    this.dword(value);
  }

  storeByte(to: MemoryOperand, value: number): void {
    this.#memory(0xc6, 0, to);
    this.emit(value);
  }

  incrementByte(at: MemoryOperand): void {
    this.#memory(0xfe, 0, at);
  }

  /** The byte at `from`, its upper bits zero. */
  loadByte(to: Register, from: MemoryOperand): void {
    this.emit(0x0f);
    this.#memory(0xb6, to, from);
  }

  /** Adds one to a 64-bit number, in two halves. */
  incrementCounter(at: MemoryOperand): void {
    this.#memory(0x83, 0, at); // add dword [at], 1
    this.emit(1);
    this.#memory(0x83, 2, { base: at.base, displacement: at.displacement + 4 }); // adc dword [at + 4], 0
    this.emit(0);
  }

  /** Adds one to a 32-bit number. */
  increment(at: MemoryOperand): void {
    this.#memory(0x83, 0, at);
    this.emit(1);
  }

  /** Adds the register to memory, undivided for other processors; the register gets what was there before. */
  lockedExchangeAdd(to: MemoryOperand, from: Register): void {
    this.emit(0xf0, 0x0f);
    this.#memory(0xc1, from, to);
  }

  compareMemory(left: MemoryOperand, right: number): void {
    this.#memory(0x81, 7, left);
    this.dword(right);
  }

  compare(left: Register, right: Register): void {
    this.emit(0x39, registers(right, left));
  }

  /** Sets the zero flag when the register is zero. */
  test(register: Register): void {
    this.emit(0x85, registers(register, register));
  }

  compareValue(left: Register, right: number): void {
    this.emit(0x81, registers(7, left));
    this.dword(right);
  }

  addValue(to: Register, value: number): void {
    this.emit(0x81, registers(0, to));
    this.dword(value);
  }

  add(to: Register, from: Register): void {
    this.emit(0x01, registers(from, to));
  }

  subtract(from: Register, what: Register): void {
    this.emit(0x29, registers(what, from));
  }

  and(to: Register, from: Register): void {
    this.emit(0x21, registers(from, to));
  }

  or(to: Register, from: Register): void {
    this.emit(0x09, registers(from, to));
  }

  xor(to: Register, from: Register): void {
    this.emit(0x31, registers(from, to));
  }

  shiftLeft(register: Register, bits: number): void {
    this.emit(0xc1, registers(4, register), bits);
  }

  shiftRight(register: Register, bits: number): void {
    this.emit(0xc1, registers(5, register), bits);
  }

  decrement(register: Register): void {
    this.emit(0xff, registers(1, register));
  }

  /** `[edi] = eax; edi += 4`, ecx times. */
  repeatStore(): void {
    this.emit(0xf3, 0xab);
  }

  jump(label: string): void {
    this.emit(0xe9);
    this.#fix(label, 4, 'relative');
  }

  jumpIf(condition: Condition, label: string): void {
    this.emit(0x0f, 0x80 + condition);
    this.#fix(label, 4, 'relative');
  }

  call(label: string): void {
    this.emit(0xe8);
    this.#fix(label, 4, 'relative');
  }

  return(): void {
    this.emit(0xc3);
  }

  /** `al = port[dx]` */
  input(): void {
    this.emit(0xec);
  }

  /** `port[dx] = al` */
  output(): void {
    this.emit(0xee);
  }

  finish(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, bytes, label, kind } of this.#fixups) {
      const offset = this.#labels.get(label);
      if (offset === undefined) throw new Error(`There is no label ${label}`);
      const value = kind === 'absolute' ? this.#origin + offset : offset - (at + bytes);
      if (bytes === 4) view.setInt32(at, value, true);
      else view.setInt16(at, value, true);
    }
    return code;
  }

  #memory(opcode: number, field: number, { base, displacement }: MemoryOperand): void {
    this.emit(opcode, 0x80 | (field << 3) | base);
    this.dword(displacement);
  }

  #fix(label: string, bytes: 2 | 4, kind: Fixup['kind']): void {
    this.#fixups.push({ at: this.#bytes.length, bytes, label, kind });
    this.emit(...new Array<number>(bytes).fill(0));
  }
}

/** The ModRM byte for two registers. */
function registers(field: number, operand: Register): number {
  return 0xc0 | (field << 3) | operand;
}

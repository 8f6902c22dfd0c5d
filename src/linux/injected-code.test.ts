import { describe, expect, test } from 'vitest';
import { USER_REGS_WORDS, UserRegs } from './abi/ptrace.ts';
import { frameOf, placeCode } from './injected-code.ts';

const READ = 0n;
const NO_CALL = ~0n;
const RESTART_SYSCALL = 219n;
const RIP = 0x40_1000n;
const RSP = 0x7fff_0000_1000n;

function negative(errno: bigint): bigint {
  return BigInt.asUintN(64, -errno);
}

function frame(origRax: bigint, rax: bigint): { rax: bigint; rip: bigint } {
  const registers = new BigUint64Array(USER_REGS_WORDS);
  registers[UserRegs.origRax] = origRax;
  registers[UserRegs.rax] = rax;
  registers[UserRegs.rip] = RIP;
  registers[UserRegs.rsp] = RSP;
  const { words } = frameOf(registers);
  return { rax: words.at(-3)!, rip: words.at(-1)! };
}

describe('the frame', () => {
  test.each([
    ['was interrupted (ERESTARTSYS) begins again', READ, negative(512n), { rax: READ, rip: RIP - 2n }],
    ['was interrupted (ERESTARTNOINTR) begins again', READ, negative(513n), { rax: READ, rip: RIP - 2n }],
    ['was interrupted (ERESTARTNOHAND) begins again', READ, negative(514n), { rax: READ, rip: RIP - 2n }],
    ['has some time left goes on', READ, negative(516n), { rax: RESTART_SYSCALL, rip: RIP - 2n }],
    ['has ended has its result', READ, 17n, { rax: 17n, rip: RIP }],
    ['has failed has its error', READ, negative(4n), { rax: negative(4n), rip: RIP }],
  ])('of a call that %s', (_, origRax, rax, expected) => {
    expect(frame(origRax, rax)).toEqual(expected);
  });

  test('of a thread outside a call has its registers, whatever they look like', () => {
    expect(frame(NO_CALL, negative(512n))).toEqual({ rax: negative(512n), rip: RIP });
  });

  test('lies below what belongs to the thread, and the way back ends at its stack pointer', () => {
    const registers = new BigUint64Array(USER_REGS_WORDS);
    registers[UserRegs.rsp] = RSP;
    const { address, words } = frameOf(registers);
    expect(address + BigInt(words.byteLength) + 128n).toBe(RSP);
  });
});

describe('the place', () => {
  const SECTION_HEADERS = 4096;

  function elf(): Buffer {
    const bytes = Buffer.alloc(8192);
    bytes.write('\x7fELF', 'latin1');
    bytes.writeBigUInt64LE(BigInt(SECTION_HEADERS), 0x28);
    return bytes;
  }

  test('is the first section header', () => {
    expect(placeCode({ start: 0x1000n, bytes: elf() })).toMatchObject({ address: 0x1000n + BigInt(SECTION_HEADERS) });
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['is no ELF file', (bytes) => bytes.fill(0, 0, 4)],
    ['is no ELF file', (bytes) => bytes.subarray(0, 0)],
    ['has no section headers', (bytes) => bytes.fill(0, 0x28, 0x30)],
    ['has no section headers', (bytes) => bytes.subarray(0, SECTION_HEADERS + 8)],
    ['has been changed', (bytes) => bytes.fill(1, SECTION_HEADERS, SECTION_HEADERS + 1)],
  ])('is none where the vDSO %s', (reason, change) => {
    expect(placeCode({ start: 0n, bytes: change(elf()) })).toContain(reason);
  });
});

import { expect, test } from 'vitest';
import { Assembler, Condition, Register } from './assembler.ts';
import { type ByteMemory, readTinyParameters, restartTinyGuest, writeTinyParameters } from './control.ts';
import { BIOS_BYTES, buildTinyGuest } from './image.ts';
import { checkInvariant, pageReader } from './invariant.ts';
import { CONTROL, CONTROL_ADDRESS } from './layout.ts';

const { eax, ecx, ebx, edi } = Register;

function assemble(write: (code: Assembler) => void): string {
  const code = new Assembler(0x7000);
  write(code);
  return Buffer.from(code.finish()).toString('hex');
}

// The right column is what GNU as --64 makes of the left one (with 64-bit base registers), and --32 too, but for `dec`.
test.each<[string, (code: Assembler) => void, string]>([
  ['mov ebx, 0x8000', (code) => code.set(ebx, 0x8000), 'bb00800000'],
  ['mov edi, eax', (code) => code.move(edi, eax), '89c7'],
  ['mov ecx, [ebx + 0x100]', (code) => code.load(ecx, { base: ebx, displacement: 0x100 }), '8b8b00010000'],
  ['mov [ebx + 0x100], ecx', (code) => code.store({ base: ebx, displacement: 0x100 }, ecx), '898b00010000'],
  ['inc byte [edi + 0x100]', (code) => code.incrementByte({ base: edi, displacement: 0x100 }), 'fe8700010000'],
  ['cmp edi, ecx', (code) => code.compare(edi, ecx), '39cf'],
  ['shl eax, 13', (code) => code.shiftLeft(eax, 13), 'c1e00d'],
  ['xor eax, ecx', (code) => code.xor(eax, ecx), '31c8'],
  ['add dword [edi + 0x100], 1', (code) => code.increment({ base: edi, displacement: 0x100 }), '83870001000001'],
  [
    'lock xadd [edi + 0x100], ecx',
    (code) => code.lockedExchangeAdd({ base: edi, displacement: 0x100 }, ecx),
    'f00fc18f00010000',
  ],
  ['sub eax, ecx', (code) => code.subtract(eax, ecx), '29c8'],
  ['and eax, ecx', (code) => code.and(eax, ecx), '21c8'],
  ['dec ecx', (code) => code.decrement(ecx), 'ffc9'],
  ['rep stosd', (code) => code.repeatStore(), 'f3ab'],
])('assembler encodes %s', (_, write, expected) => {
  expect(assemble(write)).toBe(expected);
});

test('assembler resolves labels forwards and backwards, relative to the next instruction', () => {
  const code = assemble((to) => {
    to.label('start');
    to.jumpIf(Condition.zero, 'end');
    to.jump('start');
    to.label('end');
    to.address('start');
  });
  expect(code).toBe('0f8405000000e9f5ffffff00700000');
});

test('assembler refuses a label that is missing or there twice', () => {
  expect(() => assemble((code) => code.jump('nowhere'))).toThrow('There is no label nowhere');
  expect(() =>
    assemble((code) => {
      code.label('here');
      code.label('here');
    }),
  ).toThrow('twice');
});

test.each([
  'long3',
  'prot32',
] as const)('the %s image has the size of a BIOS and jumps from the reset vector', (mode) => {
  const image = buildTinyGuest({ mode, firstPage: 256, pageCount: 16 });
  expect(image).toHaveLength(BIOS_BYTES);
  expect([...image.subarray(0xfff0, 0xfff5)]).toEqual([0xea, 0, 0, 0, 0xf0]);
});

test.each([
  { firstPage: 255, pageCount: 1 },
  { firstPage: 256, pageCount: 2 ** 18 },
  { firstPage: 256.5, pageCount: 1 },
  { firstPage: 256, pageCount: -1 },
])('the image refuses the range $firstPage+$pageCount', (range) => {
  expect(() => buildTinyGuest({ mode: 'prot32', ...range })).toThrow(RangeError);
});

test.each([{ restPages: 3 }, { restPages: 0 }, { restMicroseconds: 5e6 }])('the image refuses the rest %o', (rest) => {
  const range = { firstPage: 256, pageCount: 16 };
  expect(() => buildTinyGuest({ mode: 'prot32', ...range, restMicroseconds: 500, ...rest })).toThrow(RangeError);
});

test('the image refuses to rest where the guest may not halt', () => {
  const build = () => buildTinyGuest({ mode: 'long3', firstPage: 256, pageCount: 16, restMicroseconds: 0 });
  expect(build).toThrow(RangeError);
});

test.each<[string, number[]]>([
  ['all equal', [7, 7, 7, 7]],
  ['one step down', [7, 7, 6, 6]],
  ['one step across the wrap', [0, 0, 255, 255]],
  ['one page', [3]],
  ['no page', []],
])('the invariant holds for %s', (_, bytes) => {
  expect(checkInvariant((page) => bytes[page - 256]!, { firstPage: 256, pageCount: bytes.length })).toEqual({
    ok: true,
  });
});

test.each<[string, number[], number]>([
  ['a page that is one behind between two that are not', [7, 6, 7, 7], 258],
  ['a page that is one ahead', [7, 8, 7, 7], 257],
  ['two steps', [7, 6, 5, 5], 258],
  ['a step of two', [7, 7, 5, 5], 258],
  ['a step up at the wrap', [255, 0, 0, 0], 257],
])('the invariant is broken by %s', (_, bytes, page) => {
  const outcome = checkInvariant((at) => bytes[at - 256]!, { firstPage: 256, pageCount: bytes.length });
  expect(outcome).toMatchObject({ ok: false, page });
});

test('parameters are written where they are read, and a restart is asked for last', () => {
  const written: number[] = [];
  const bytes = new Uint8Array(0x9000);
  const memory: ByteMemory = {
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
    write: (offset, from) => {
      written.push(offset - CONTROL_ADDRESS);
      bytes.set(from, offset);
    },
  };
  writeTinyParameters(memory, { delay: 5, restMicroseconds: 300, writeMode: 'random' });
  restartTinyGuest(memory, { firstPage: 512, pageCount: 8 });
  const changed = { delay: 5, restMicroseconds: 300, writeMode: 'random', firstPage: 512, pageCount: 8 };
  expect(readTinyParameters(memory)).toMatchObject(changed);
  expect(written.at(-1)).toBe(CONTROL.restart);
  expect(pageReader(memory)(8)).toBe(1);
});

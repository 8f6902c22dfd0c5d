import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GodwitError } from './errors.ts';
import {
  formatBandwidth,
  formatDuration,
  formatRate,
  formatSize,
  parseDurationMs,
  parseRate,
  parseSize,
} from './units.ts';

test.each([
  ['0', 0],
  ['4096', 4096],
  ['4096B', 4096],
  ['1K', 1024],
  ['512MiB', 2 ** 29],
  ['512 mib', 2 ** 29],
  [' 2G ', 2 ** 31],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['3TiB', 3 * 2 ** 40],
])('the size %j is %d bytes', (text, bytes) => {
  expect(parseSize(text, 'memory')).toBe(bytes);
});

test.each([
  ['1Gbit/s', 125_000_000],
  ['100Mbit/s', 12_500_000],
  ['100mbitps', 12_500_000],
  ['200MiB/s', 200 * 2 ** 20],
  ['64K/s', 65_536],
  ['10b/s', 10],
  ['unlimited', 0],
])('the rate %j is %d bytes a second', (text, bytesPerSecond) => {
  expect(parseRate(text, 'bandwidth')).toBe(bytesPerSecond);
});

test.each(['0', '0Gbit/s'])('the rate %j is refused: nothing would be sent, and what is meant is unlimited', (text) => {
  expect(() => parseRate(text, '--bandwidth')).toThrow(/or unlimited/);
});

test('a rate that is not zero never becomes 0, which means unlimited', () => {
  expect(parseRate('1bit/s', 'bandwidth')).toBe(1);
  expect(parseRate('0.001KiB/s', 'bandwidth')).toBe(1);
});

test.each([
  ['50ms', 50],
  ['1.5s', 1500],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['500us', 0.5],
])('the duration %j is %d ms', (text, ms) => {
  expect(parseDurationMs(text, 'timeout')).toBe(ms);
});

const NONSENSE = [
  '',
  ' ',
  '-1M',
  '1e3',
  '0x10',
  '1.2.3G',
  '5constructor',
  '5 __proto__',
  '1 G B',
  '∞',
  `${'9'.repeat(400)}T`,
];

test.each([...NONSENSE, '12parsecs', '5KB'])('the size %j is refused with field, value and fix', (text) => {
  expect(refusalOf(() => parseSize(text, 'memory'))).toEqual({
    code: 'GW_INPUT_INVALID',
    details: { field: 'memory', value: text, fix: expect.stringContaining('512MiB') },
  });
});

test.each([...NONSENSE, '5', '5/s', '5s', '0Gbit/s', '5constructor/s'])('the rate %j is refused', (text) => {
  expect(refusalOf(() => parseRate(text, 'bandwidth'))).toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { field: 'bandwidth', value: text },
  });
});

test.each([...NONSENSE, '50', '5MiB', '5days'])('the duration %j is refused', (text) => {
  expect(refusalOf(() => parseDurationMs(text, 'timeout'))).toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { field: 'timeout', value: text },
  });
});

test('whatever is typed gives a number that makes sense or a refusal', () => {
  const typed = fc.oneof(
    fc.string(),
    fc.tuple(fc.float({ min: 0, noNaN: true }), fc.string({ maxLength: 6 })).map(([value, unit]) => `${value}${unit}`),
    fc
      .tuple(fc.nat(), fc.constantFrom('', 'K', 'MiB', 'Gbit/s', 'ms', 'h', 'constructor'))
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(typed, fc.constantFrom(parseSize, parseRate, parseDurationMs), (text, parse) => {
      const value = valueOrRefusal(() => parse(text, 'field'));
      expect(value === 'refused' || (value >= 0 && value <= Number.MAX_SAFE_INTEGER)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536, '1.5 KiB'],
  [2 ** 20 - 1, '1.0 MiB'],
  [512 * 2 ** 20, '512 MiB'],
  [2 ** 30, '1.0 GiB'],
  [5 * 2 ** 40, '5.0 TiB'],
  [2 ** 60, '1048576 TiB'],
])('%d bytes are printed as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
  expect(formatRate(bytes)).toBe(`${text}/s`);
});

test.each([
  [0, '0 µs'],
  [0.25, '250 µs'],
  [0.99999, '1.0 ms'],
  [1, '1.0 ms'],
  [23.456, '23.5 ms'],
  [250.4, '250 ms'],
  [999.99, '1.0 s'],
  [1000, '1.0 s'],
  [119_400, '119 s'],
  [119_999, '2 m 0 s'],
  [120_000, '2 m 0 s'],
  [179_999, '3 m 0 s'],
  [7_265_000, '121 m 5 s'],
])('%d ms are printed as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test('a printed size is read back within its rounding', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 52), (bytes) => {
      const back = parseSize(formatSize(bytes), 'size');
      expect(Math.abs(back - bytes)).toBeLessThanOrEqual(bytes * 0.05);
    }),
  );
});

function refusalOf(attempt: () => unknown): { code: string; details: unknown } | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (error instanceof GodwitError) return { code: error.code, details: error.details };
    throw error;
  }
}

function valueOrRefusal(attempt: () => number): number | 'refused' {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof GodwitError && error.code === 'GW_INPUT_INVALID') return 'refused';
    throw error;
  }
}

test.each([
  [1.25e9, '10 Gbit/s'],
  [125_000_000, '1 Gbit/s'],
  [124_999_999, '1 Gbit/s'],
  [312_500_000, '2.5 Gbit/s'],
  [25_000_000, '200 Mbit/s'],
  [125, '1 kbit/s'],
  [1, '8 bit/s'],
])('%d bytes a second of a port are printed as %s', (bytesPerSecond, text) => {
  expect(formatBandwidth(bytesPerSecond)).toBe(text);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Lines } from './lines.ts';

const LINES = ['{"a":1}', '', '{"umlaut":"äöü €"}', '{"x":"y"}'];
const BYTES = Buffer.from(`${LINES.join('\r\n')}\r\n`);

const tooLong = (reason: string): Error => new Error(reason);

test('every cut in two gives the same lines', () => {
  for (let cut = 0; cut <= BYTES.length; cut++) {
    const lines = new Lines(64, tooLong);
    expect([...lines.push(BYTES.subarray(0, cut)), ...lines.push(BYTES.subarray(cut))]).toEqual(LINES);
  }
});

test('any cuts give the same lines', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(BYTES.length)), (cuts) => {
      const lines = new Lines(64, tooLong);
      const ends = [...cuts.sort((a, b) => a - b), BYTES.length];
      expect(ends.flatMap((end, at) => lines.push(BYTES.subarray(ends[at - 1] ?? 0, end)))).toEqual(LINES);
    }),
  );
});

test('a line that has not ended is kept', () => {
  const lines = new Lines(64, tooLong);
  expect(lines.push(Buffer.from('{"a"'))).toEqual([]);
  expect(lines.push(Buffer.from(':1}\n'))).toEqual(['{"a":1}']);
});

test('a line above the limit is refused before it is kept', () => {
  const lines = new Lines(8, tooLong);
  lines.push(Buffer.from('12345678'));
  expect(() => lines.push(Buffer.from('9'))).toThrow('one line is longer than 8 bytes');
});

test('the limit is for one line, not for all of them', () => {
  const lines = new Lines(8, tooLong);
  expect(lines.push(Buffer.from('1234567\n1234567\n'))).toHaveLength(2);
});

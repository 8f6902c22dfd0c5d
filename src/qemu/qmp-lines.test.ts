import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import { QmpLines } from './qmp-lines.ts';

const LINES = ['{"a":1}', '', '{"umlaut":"äöü €"}', '{"x":"y"}'];
const BYTES = Buffer.from(`${LINES.join('\r\n')}\r\n`);

test('every cut in two gives the same lines', () => {
  for (let cut = 0; cut <= BYTES.length; cut++) {
    const lines = new QmpLines('/q');
    expect([...lines.push(BYTES.subarray(0, cut)), ...lines.push(BYTES.subarray(cut))]).toEqual(LINES);
  }
});

test('any cuts give the same lines', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(BYTES.length)), (cuts) => {
      const lines = new QmpLines('/q');
      const ends = [...cuts.sort((a, b) => a - b), BYTES.length];
      expect(ends.flatMap((end, at) => lines.push(BYTES.subarray(ends[at - 1] ?? 0, end)))).toEqual(LINES);
    }),
  );
});

test('a line that has not ended is kept', () => {
  const lines = new QmpLines('/q');
  expect(lines.push(Buffer.from('{"a"'))).toEqual([]);
  expect(lines.push(Buffer.from(':1}\n'))).toEqual(['{"a":1}']);
});

test('a line above the limit is refused before it is kept', () => {
  const lines = new QmpLines('/q', 8);
  lines.push(Buffer.from('12345678'));
  expect(() => lines.push(Buffer.from('9'))).toThrow(expect.toSatisfy((error) => hasCode(error, 'GW_QMP_PROTOCOL')));
});

test('the limit is for one line, not for all of them', () => {
  const lines = new QmpLines('/q', 8);
  expect(lines.push(Buffer.from('1234567\n1234567\n'))).toHaveLength(2);
});

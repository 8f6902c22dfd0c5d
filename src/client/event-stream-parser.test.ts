import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import { EventStreamParser } from './event-stream-parser.ts';

const TEXT =
  'retry: 1000\n\nid: a-1\nevent: vmChanged\ndata: {"x":1}\n\n: alive\n\ndata: one\r\ndata:two\r\n\r\nid: a-2\revent: done\rdata\r\r';
const EVENTS = [
  { id: 'a-1', event: 'vmChanged', data: '{"x":1}' },
  { id: 'a-1', event: 'message', data: 'one\ntwo' },
  { id: 'a-2', event: 'done', data: '' },
];

describe('event stream', () => {
  test('is the same however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(TEXT.length)), (cuts) => {
        const parser = new EventStreamParser();
        const at = [0, ...cuts.sort((a, b) => a - b), TEXT.length];
        const events = at.slice(1).flatMap((end, index) => parser.push(TEXT.slice(at[index], end)));
        expect([...events, ...parser.push('\n')]).toEqual(EVENTS);
      }),
    );
  });

  test('an event without end is refused before it fills the memory', () => {
    const parser = new EventStreamParser();
    const line = `data: ${'x'.repeat(1024 * 1024)}\n`;
    expect(() => {
      for (let i = 0; i < 20; i++) parser.push(line);
    }).toThrow(expect.toSatisfy((error) => hasCode(error, 'GW_INTERNAL')));
  });
});

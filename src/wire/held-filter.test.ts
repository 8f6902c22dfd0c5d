/** The heldFilter frames: pieces joined again, and every rejection. */
import { describe, expect, test } from 'vitest';
import { naiveBytes } from '../../test/support/naive-wire.ts';
import { payloadOf, thrownBy } from '../../test/support/wire-samples.ts';
import { encodeHeldFilter, HeldFilterCollector } from './held-filter.ts';
import { MAX_FILTER_BYTES, MAX_FILTER_PIECE } from './limits.ts';

const filled = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 0xff);
const piece = (scope: number, total: number, bytes: number) => naiveBytes([[4, scope], [4, total], filled(bytes)]);

test.each([1, 1000, MAX_FILTER_PIECE, MAX_FILTER_PIECE + 1, MAX_FILTER_BYTES])('%i bytes come whole', (bytes) => {
  const filter = filled(bytes);
  const frames = [...encodeHeldFilter('fleet', filter)];
  const collector = new HeldFilterCollector();
  const answers = frames.map((frame) => collector.add(payloadOf(frame)));
  expect(answers.slice(0, -1).every((answer) => answer === undefined)).toBe(true);
  expect(answers.at(-1)!.scope).toBe('fleet');
  expect(Buffer.compare(answers.at(-1)!.filter, filter)).toBe(0);
});

describe('rejects', () => {
  test.each<[string, Uint8Array[], string]>([
    ['an unknown key', [piece(2, 100, 10)], 'its key is unknown'],
    ['too much', [piece(0, MAX_FILTER_BYTES + 1, 10)], `${MAX_FILTER_BYTES + 1} bytes are too many`],
    ['a piece beyond its end', [piece(0, 9, 10)], 'it has more bytes than it says'],
    ['pieces beyond its end', [piece(0, 15, 10), piece(0, 15, 10)], 'it has more bytes than it says'],
    ['what comes after the last', [piece(0, 10, 10), piece(0, 10, 10)], 'it has more bytes than it says'],
    ['another size', [piece(0, 100, 10), piece(0, 101, 10)], 'its parts are not of one filter'],
    ['another key', [piece(0, 100, 10), piece(1, 100, 10)], 'its parts are not of one filter'],
  ])('%s', (_, payloads, reason) => {
    const collector = new HeldFilterCollector();
    for (const payload of payloads.slice(0, -1)) collector.add(payload);
    expect(thrownBy(() => collector.add(payloads.at(-1)!))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });
});

/** The packedPages frame: golden vector, the naive codec, and every rejection. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Field, naiveBytes, naivePackedPages } from '../../test/support/naive-wire.ts';
import { thrownBy } from '../../test/support/wire-samples.ts';
import { MAX_GUEST_PAGES } from './limits.ts';
import {
  countBits,
  decodePackedPages,
  encodePackedPagesHeader,
  PACK_CODECS,
  PACKED_KINDS,
  type PackedRun,
  readPackedBody,
  writeElsewhere,
} from './packed-pages.ts';

const join = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const filled = (bytes: number, step = 31) => Uint8Array.from({ length: bytes }, (_, i) => (i * step) & 0xff);
const run = (first: number, count: number, kind: PackedRun['kind'] = 'data'): PackedRun => ({ first, count, kind });

/** Runs with, for each delta page, the lines that have changed. */
const someFrame = fc
  .array(
    fc.record({
      gap: fc.nat(100_000_000),
      kind: fc.constantFrom(...PACKED_KINDS),
      masks: fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 1, maxLength: 8 }),
    }),
    { minLength: 1, maxLength: 20 },
  )
  .map((steps) => {
    let at = 0;
    const runs: PackedRun[] = [];
    const body: Field[] = [];
    for (const { gap, kind, masks } of steps) {
      const first = at + gap;
      at = first + masks.length;
      runs.push({ first, count: masks.length, kind });
      for (const mask of masks) {
        if (kind === 'data') body.push(filled(4096, runs.length));
        else if (kind === 'held') body.push(filled(16, runs.length));
        else if (kind === 'elsewhere') body.push(filled(24, runs.length), [4, runs.length]);
        else body.push([4, Number(mask & 0xffff_ffffn)], [4, Number(mask >> 32n)], filled(64 * bitsOf(mask), 7));
      }
    }
    return { runs, body: naiveBytes(body) };
  });

const bitsOf = (mask: bigint) => [...mask.toString(2)].filter((bit) => bit === '1').length;
const pagesIn = (runs: readonly PackedRun[]) => runs.reduce((sum, { count }) => sum + count, 0);

test('golden vector', () => {
  const header = encodePackedPagesHeader(
    { codec: 'zstd', runs: [run(0x1_0000_0002, 3, 'delta')], bodyBytes: 24, digests: undefined },
    5,
  );
  expect(Buffer.from(header).toString('hex')).toBe(
    '25000000490000000200000000000000010000001800000002000000010000000300000001000000',
  );
});

test('round trip, and equal to the naive codec', () => {
  fc.assert(
    fc.property(someFrame, fc.boolean(), ({ runs, body }, digested) => {
      const isHeld = runs.some(({ kind }) => kind === 'held' || kind === 'elsewhere');
      const digests = digested && !isHeld ? filled(16 * pagesIn(runs)) : undefined;
      const header = encodePackedPagesHeader({ codec: 'none', runs, bodyBytes: body.length, digests }, body.length);
      const payload = join(header.subarray(8), body);
      const kinds = runs.map((each) => [each, PACKED_KINDS.indexOf(each.kind)] as const);
      expect(Buffer.compare(payload, naivePackedPages(0, kinds, body.length, body, digests))).toBe(0);
      const decoded = decodePackedPages(payload, MAX_GUEST_PAGES);
      expect(decoded).toMatchObject({ codec: 'none', runs, pages: pagesIn(runs), bodyBytes: body.length });
      expect(decoded.digests).toEqual(digests);
      const seen: [number, string][] = [];
      let bytes = 0;
      readPackedBody(decoded, decoded.packed, {
        data({ first, count }, contents) {
          for (let page = first; page < first + count; page++) seen.push([page, 'data']);
          bytes += contents.length;
        },
        delta(page, low, high, lines) {
          seen.push([page, 'delta']);
          expect(lines.length).toBe(64 * (countBits(low) + countBits(high)));
          bytes += 8 + lines.length;
        },
        held(page, fingerprint) {
          seen.push([page, 'held']);
          expect(fingerprint.length).toBe(16);
          bytes += 16;
        },
        elsewhere(page, place) {
          seen.push([page, 'elsewhere']);
          const written = new Uint8Array(28);
          writeElsewhere(written, place);
          expect(written).toEqual(decoded.packed.slice(bytes, bytes + 28));
          bytes += 28;
        },
      });
      expect(seen).toEqual(
        runs.flatMap(({ first, count, kind }) => Array.from({ length: count }, (_, i) => [first + i, kind])),
      );
      expect(bytes).toBe(body.length);
    }),
    { numRuns: 60 },
  );
});

test.each([
  [0, 0],
  [1, 1],
  [-1, 32],
  [0x80000000 | 0, 1],
  [0x55555555, 16],
])('%i has %i bits', (word, bits) => {
  expect(countBits(word)).toBe(bits);
});

describe('rejects', () => {
  const data = filled(4096);
  const one = [[{ first: 4, count: 1 }, 0]] as const;
  const delta = [[{ first: 4, count: 1 }, 1]] as const;
  const packed = (codec: number, bodyBytes: number, bytes: number) =>
    naivePackedPages(codec, one, bodyBytes, filled(bytes));
  test.each<[string, Uint8Array, string]>([
    ['an unknown codec', packed(3, 4096, 10), 'its codec is unknown'],
    [
      'a digest flag that is none',
      naiveBytes([[4, 0], [4, 2], [4, 1], [4, 4096], [8, 4], [4, 1], [4, 0], data]),
      'its digest flag is neither 0 nor 1',
    ],
    [
      'a run of an unknown kind',
      naivePackedPages(0, [[{ first: 4, count: 1 }, 4]], 4096, data),
      'a run is of an unknown kind',
    ],
    [
      'runs out of order',
      naivePackedPages(
        0,
        [
          [{ first: 4, count: 1 }, 0],
          [{ first: 4, count: 1 }, 0],
        ],
        8192,
        filled(8192),
      ),
      'page 4 is out of order',
    ],
    [
      'a page behind the guest',
      naivePackedPages(0, [[{ first: 1000, count: 1 }, 0]], 4096, data),
      'pages 1000 to 1000 do not all exist: the guest has 1000',
    ],
    [
      'more than 256 pages',
      naivePackedPages(2, [[{ first: 0, count: 257 }, 0]], 257 * 4096, data),
      'it has 257 pages, more than the 256 allowed',
    ],
    ['no pages', naivePackedPages(0, [], 4096, data), 'it has no pages'],
    ['a body that is too small', packed(2, 4095, 10), 'a body of 4095 bytes is none of 1 such pages'],
    ['a body that is too large', packed(2, 4097, 10), 'a body of 4097 bytes is none of 1 such pages'],
    [
      'a delta that is larger than its page and mask',
      naivePackedPages(2, delta, 4096 + 9, filled(10)),
      'a body of 4105 bytes is none of 1 such pages',
    ],
    [
      'a fingerprint with a digest',
      naivePackedPages(0, [[{ first: 4, count: 1 }, 2]], 16, filled(16), filled(16)),
      'a page that is only named has a digest',
    ],
    [
      'a fingerprint that is too long',
      naivePackedPages(0, [[{ first: 4, count: 1 }, 2]], 17, filled(17)),
      'a body of 17 bytes is none of 1 such pages',
    ],
    ['nothing packed', packed(2, 4096, 0), '0 bytes are not a body of 4096 with codec zstd'],
    ['what did not shrink', packed(1, 4096, 4096), '4096 bytes are not a body of 4096 with codec lz4'],
    ['a body that is not all there', packed(0, 4096, 4095), '4095 bytes are not a body of 4096 with codec none'],
    [
      'a run count beyond the payload',
      naiveBytes([[4, 0], [4, 0], [4, 0xffff_ffff], [4, 4096], data]),
      'it has no room for its 4294967295 runs',
    ],
  ])('%s', (_, payload, reason) => {
    expect(thrownBy(() => decodePackedPages(payload, 1000))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });

  test.each<[string, Uint8Array, string]>([
    ['a body that ends in a mask', filled(7), 'its body ends in the middle of a page'],
    ['a body that ends in a line', naiveBytes([[4, 1], [4, 0], filled(63)]), 'its body ends in the middle of a page'],
    ['a body that is too long', naiveBytes([[4, 1], [4, 0], filled(65)]), 'its body has 1 bytes too many'],
  ])('%s', (_, body, reason) => {
    const ignore = { data: () => undefined, delta: () => undefined, held: () => undefined, elsewhere: () => undefined };
    expect(thrownBy(() => readPackedBody({ runs: [run(4, 1, 'delta')] }, body, ignore))).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason,
    });
  });
});

test('every codec has a number', () => {
  expect(PACK_CODECS).toEqual(['none', 'lz4', 'zstd']);
});

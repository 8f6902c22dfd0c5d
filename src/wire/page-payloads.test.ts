/** The page frames: golden vectors, the naive codec, and every rejection. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Field,
  naiveBytes,
  naivePageReply,
  naivePageRequest,
  naivePages,
  naiveZeroPages,
} from '../../test/support/naive-wire.ts';
import { thrownBy } from '../../test/support/wire-samples.ts';
import type { PageRun } from '../base/page.ts';
import {
  encodeChunkHeader,
  encodeDigestedPagesHeader,
  encodePageReplyHeader,
  encodePageRequest,
  encodePagesHeader,
  encodeZeroPages,
} from './encoder.ts';
import { MAX_GUEST_PAGES, MAX_STATE_CHUNK } from './limits.ts';
import {
  decodeDigestedPages,
  decodePageReply,
  decodePageRequest,
  decodePages,
  decodeZeroPages,
  REPLY_KINDS,
  type ReplyKind,
} from './page-payloads.ts';

const join = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const filled = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 0xff);
const pagesIn = (runs: readonly PageRun[]) => runs.reduce((sum, run) => sum + run.count, 0);

/** Ascending, disjoint runs of at most 256 pages in all, anywhere in the largest guest. */
const someRuns = fc
  .array(fc.record({ gap: fc.nat(100_000_000), count: fc.integer({ min: 1, max: 12 }) }), {
    minLength: 1,
    maxLength: 20,
  })
  .map((steps) => {
    let at = 0;
    return steps.map(({ gap, count }) => {
      const first = at + gap;
      at = first + count;
      return { first, count };
    });
  });

describe('pages', () => {
  test('golden vector', () => {
    const header = encodePagesHeader([{ first: 0x1_0000_0002, count: 1 }]);
    expect(header).toEqual(hex('10100000 40 00 0000  01000000  0200000001000000 01000000'));
  });

  test('round trip, and equal to the naive codec', () => {
    fc.assert(
      fc.property(someRuns, fc.boolean(), (runs, digested) => {
        const pages = pagesIn(runs);
        const data = filled(pages * 4096);
        const digests = filled(pages * 16);
        const header = digested ? encodeDigestedPagesHeader(runs, digests) : encodePagesHeader(runs);
        const payload = join(header.subarray(8), data);
        expect(Buffer.compare(payload, naivePages(runs, data, digested ? digests : undefined))).toBe(0);
        const decoded = (digested ? decodeDigestedPages : decodePages)(payload, MAX_GUEST_PAGES);
        expect({ runs: decoded.runs, pages: decoded.pages }).toEqual({ runs, pages });
        expect(Buffer.compare(decoded.data, data)).toBe(0);
        expect(decoded.digests).toEqual(digested ? digests : undefined);
      }),
      { numRuns: 60 },
    );
  });

  test('data and digests are views of the payload', () => {
    const payload = naivePages([{ first: 0, count: 1 }], filled(4096), filled(16));
    const { data, digests } = decodeDigestedPages(payload, 1);
    expect([data.buffer, digests?.buffer]).toEqual([payload.buffer, payload.buffer]);
  });

  test('the last page of the guest is accepted', () => {
    expect(decodePages(naivePages([{ first: 9, count: 1 }], filled(4096)), 10).pages).toBe(1);
  });

  test('runs that touch are accepted', () => {
    const runs = [
      { first: 0, count: 1 },
      { first: 1, count: 1 },
    ];
    expect(decodePages(naivePages(runs, filled(8192)), 10).runs).toEqual(runs);
  });

  const two = (a: PageRun, b: PageRun) => naivePages([a, b], filled((a.count + b.count) * 4096));
  test.each<[string, Uint8Array, string]>([
    ['descending runs', two({ first: 5, count: 1 }, { first: 4, count: 1 }), 'page 4 is out of order'],
    ['overlapping runs', two({ first: 4, count: 2 }, { first: 5, count: 1 }), 'page 5 is out of order'],
    ['the same run twice', two({ first: 4, count: 1 }, { first: 4, count: 1 }), 'page 4 is out of order'],
    ['an empty run', two({ first: 4, count: 1 }, { first: 6, count: 0 }), 'a run is empty'],
    [
      'a run that begins behind the guest',
      naivePages([{ first: 1000, count: 1 }], filled(4096)),
      'pages 1000 to 1000 do not all exist: the guest has 1000',
    ],
    [
      'a run that ends behind the guest',
      naivePages([{ first: 999, count: 2 }], filled(8192)),
      'pages 999 to 1000 do not all exist: the guest has 1000',
    ],
    [
      'a page number above 2^53 - 1',
      naivePages([{ first: 2 ** 53, count: 1 }], filled(4096)),
      'a page number is above 2^53 - 1',
    ],
    [
      'more than 256 pages',
      naivePages([{ first: 0, count: 257 }], filled(4096)),
      'it has 257 pages, more than the 256 allowed',
    ],
    [
      'a count near 2^32 with little data',
      naivePages([{ first: 0, count: 0xffff_ffff }], filled(4096)),
      'pages 0 to 4294967294 do not all exist: the guest has 1000',
    ],
    [
      'a page too little data',
      naivePages([{ first: 0, count: 2 }], filled(4096)),
      'it has 4112 bytes where its runs need 8208',
    ],
    [
      'a byte too much data',
      naivePages([{ first: 0, count: 1 }], filled(4097)),
      'it has 4113 bytes where its runs need 4112',
    ],
    [
      'a run count beyond the payload',
      join(hex('ffffffff'), filled(4096 + 12)),
      'it has no room for its 4294967295 runs',
    ],
    ['no runs', join(hex('00000000'), filled(4096 + 12)), 'it has 4112 bytes where its runs need 4'],
  ])('rejects %s', (_, payload, reason) => {
    expect(thrownBy(() => decodePages(payload, 1000))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });

  test('digestedPages rejects digests that are missing', () => {
    const payload = naivePages([{ first: 0, count: 1 }], filled(4096));
    expect(thrownBy(() => decodeDigestedPages(payload, 10))?.reason).toBe('it has 4112 bytes where its runs need 4128');
  });

  test.each<[string, () => unknown]>([
    ['no page', () => encodePagesHeader([])],
    ['257 pages', () => encodePagesHeader([{ first: 0, count: 257 }])],
    ['no zero page', () => encodeZeroPages([])],
    ['digests of another number of pages', () => encodeDigestedPagesHeader([{ first: 0, count: 2 }], filled(16))],
    [
      'reply digests of another number',
      () => encodePageReplyHeader(0, [{ first: 0, count: 2, kind: 'zero' }], filled(16)),
    ],
    ['an empty chunk', () => encodeChunkHeader('stateChunk', 0)],
    ['a chunk above the limit', () => encodeChunkHeader('stateChunk', MAX_STATE_CHUNK + 1)],
    ['a chunk of NaN bytes', () => encodeChunkHeader('consoleChunk', Number.NaN)],
  ])('the encoder refuses %s', (_, act) => {
    expect(thrownBy(act)?.code).toBe('GW_INTERNAL');
  });
});

describe('zeroPages', () => {
  test('golden vector', () => {
    const frame = encodeZeroPages([{ first: 7, count: 0x0102 }]);
    expect(frame).toEqual(hex('10000000 42 00 0000  01000000  0700000000000000 02010000'));
  });

  test('round trip, and equal to the naive codec', () => {
    fc.assert(
      fc.property(someRuns, (runs) => {
        const payload = encodeZeroPages(runs).subarray(8);
        expect(Buffer.compare(payload, naiveZeroPages(runs))).toBe(0);
        expect(decodeZeroPages(payload, MAX_GUEST_PAGES)).toMatchObject({ runs, pages: pagesIn(runs) });
      }),
    );
  });

  test.each<[string, Uint8Array, string]>([
    ['descending runs', naiveZeroPages([9, 3].map((first) => ({ first, count: 1 }))), 'page 3 is out of order'],
    [
      'a run behind the guest',
      naiveZeroPages([{ first: 0, count: 1001 }]),
      'pages 0 to 1000 do not all exist: the guest has 1000',
    ],
    [
      'bytes behind the runs',
      join(naiveZeroPages([{ first: 0, count: 1 }]), filled(1)),
      'it has 17 bytes where its runs need 16',
    ],
    ['a run count beyond the payload', join(hex('02000000'), filled(23)), 'it has no room for its 2 runs'],
  ])('rejects %s', (_, payload, reason) => {
    expect(thrownBy(() => decodeZeroPages(payload, 1000))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });
});

describe('pageRequest', () => {
  test('golden vector', () => {
    const frame = encodePageRequest(0xdeadbeef, { first: 0x0102, count: 16 });
    expect(frame).toEqual(hex('10000000 46 00 0000  efbeadde 0201000000000000 10000000'));
  });

  test('round trip, and equal to the naive codec', () => {
    const range = { first: fc.nat(MAX_GUEST_PAGES - 256), count: fc.integer({ min: 1, max: 256 }) };
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.record(range, { noNullPrototype: true }), (sequence, run) => {
        const payload = encodePageRequest(sequence, run).subarray(8);
        expect(payload).toEqual(naivePageRequest(sequence, run));
        expect(decodePageRequest(payload, MAX_GUEST_PAGES)).toEqual({ sequence, ...run });
      }),
    );
  });

  test.each([
    [{ first: 1000, count: 1 }, 'pages 1000 to 1000 do not all exist: the guest has 1000'],
    [{ first: 990, count: 11 }, 'pages 990 to 1000 do not all exist: the guest has 1000'],
    [{ first: 2 ** 60, count: 1 }, 'a page number is above 2^53 - 1'],
    [{ first: 0, count: 0 }, 'a run is empty'],
    [{ first: 0, count: 257 }, 'it has 257 pages, more than the 256 allowed'],
  ])('rejects %j', (run, reason) => {
    expect(thrownBy(() => decodePageRequest(naivePageRequest(1, run), 1000))).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason,
    });
  });
});

describe('pageReply', () => {
  test('golden vector', () => {
    const header = encodePageReplyHeader(3, [
      { first: 2, count: 1, kind: 'data' },
      { first: 3, count: 2, kind: 'zero' },
    ]);
    expect(header).toEqual(
      hex(
        '2c100000 47 00 0000  03000000 00000000 02000000  0200000000000000 01000000 00000000  0300000000000000 02000000 01000000',
      ),
    );
  });

  test('round trip, and equal to the naive codec', () => {
    const kinds = fc.infiniteStream(fc.constantFrom<ReplyKind>(...REPLY_KINDS));
    fc.assert(
      fc.property(someRuns, kinds, fc.boolean(), (plain, kindOf, digested) => {
        const runs = plain.map((run) => ({ ...run, kind: kindOf.next().value! }));
        const dataPages = pagesIn(runs.filter((run) => run.kind === 'data'));
        const data = filled(dataPages * 4096);
        const digests = digested ? filled(dataPages * 16) : undefined;
        const payload = join(encodePageReplyHeader(9, runs, digests).subarray(8), data);
        const entries = runs.map((run) => [run, REPLY_KINDS.indexOf(run.kind)] as const);
        expect(Buffer.compare(payload, naivePageReply(9, entries, data, digests))).toBe(0);
        const decoded = decodePageReply(payload, MAX_GUEST_PAGES);
        expect({ ...decoded, data: undefined }).toEqual({
          sequence: 9,
          runs,
          pages: pagesIn(runs),
          digests,
          data: undefined,
        });
        expect(Buffer.compare(decoded.data, data)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  const run = (first: number, count: number, kind: number) => [{ first, count }, kind] as const;
  const flagged = (flag: number) => {
    const fields: Field[] = [
      [4, 1],
      [4, flag],
      [4, 1],
      [8, 0],
      [4, 1],
      [4, 1],
    ];
    return naiveBytes(fields);
  };
  test.each<[string, Uint8Array, string]>([
    ['a digest flag of 2', flagged(2), 'its digest flag is neither 0 nor 1'],
    ['an unknown kind', naivePageReply(1, [run(0, 1, 2)], filled(0)), 'a run is of an unknown kind'],
    ['a page twice', naivePageReply(1, [run(4, 2, 1), run(5, 1, 1)], filled(0)), 'page 5 is out of order'],
    ['an empty run', naivePageReply(1, [run(4, 0, 1)], filled(0)), 'a run is empty'],
    [
      'a run behind the guest',
      naivePageReply(1, [run(999, 2, 1)], filled(0)),
      'pages 999 to 1000 do not all exist: the guest has 1000',
    ],
    [
      'more than 256 pages',
      naivePageReply(1, [run(0, 200, 1), run(300, 57, 1)], filled(0)),
      'it has 257 pages, more than the 256 allowed',
    ],
    [
      'data for a zero page',
      naivePageReply(1, [run(0, 1, 1)], filled(4096)),
      'it has 4124 bytes where its runs need 28',
    ],
    ['no data', naivePageReply(1, [run(0, 1, 0)], filled(0)), 'it has 28 bytes where its runs need 4124'],
    [
      'no digests under a digest flag',
      naivePageReply(1, [run(0, 1, 0)], filled(4096), filled(0)),
      'it has 4124 bytes where its runs need 4140',
    ],
    [
      'a run count beyond the payload',
      join(hex('01000000 00000000 ffffffff'), filled(16)),
      'it has no room for its 4294967295 runs',
    ],
  ])('rejects %s', (_, payload, reason) => {
    expect(thrownBy(() => decodePageReply(payload, 1000))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });
});

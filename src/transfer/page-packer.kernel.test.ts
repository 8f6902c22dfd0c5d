// Batches through the steps and back, as the destination does it, with the real codecs.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { StagingBuffer } from '../memory/staging.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { decodePackedPages, encodePackedPagesHeader, type PackCodec } from '../wire/packed-pages.ts';
import type { PackSteps } from './pack-body.ts';
import { type PackedBatch, type PackOutcome, PagePacker } from './page-packer.ts';
import { PageUnpacker } from './page-unpacker.ts';
import { createSentPages } from './sent-pages.ts';

const PAGES = 64;

const nothingHeld = () => expect.unreachable();

/** A source and a destination with nothing but this between them. */
class Pair {
  readonly source = new Uint8Array(PAGES * PAGE_SIZE);
  readonly destination = new Uint8Array(PAGES * PAGE_SIZE);
  readonly #staging = new StagingBuffer(MAX_PAGES_PER_FRAME);
  readonly #packer = new PagePacker(createSentPages({ pageCount: PAGES, same: true, linesBudgetBytes: 1 << 20 }));
  readonly #unpacker = new PageUnpacker();
  readonly #received = new Set<number>();

  /** Sends the pages; returns what the steps did. */
  send(runs: readonly PageRun[], how: Partial<PackSteps> = {}): PackOutcome & Pick<PackedBatch, 'runs' | 'isPlain'> {
    const memory = {
      readPages: (run: PageRun, into: Uint8Array) =>
        into.set(this.source.subarray(run.first * PAGE_SIZE, (run.first + run.count) * PAGE_SIZE)),
    };
    const batch = this.#staging.read(memory, runs);
    const steps = { codec: 'zstd', level: 1, same: true, held: false, elsewhere: null, delta: true, ...how } as const;
    const { outcome, runs: packedRuns, packed, isPlain } = this.#packer.pack(batch, steps);
    const result = { ...outcome, runs: packedRuns, isPlain };
    if (packedRuns.length === 0) return result;
    const header = encodePackedPagesHeader({ ...result, digests: undefined }, packed.length);
    const frame = decodePackedPages(new Uint8Array(Buffer.concat([header.subarray(8), packed])), PAGES);
    const pages = this.#unpacker.unpack(
      frame,
      (page, into) => {
        if (!this.#received.has(page)) return false;
        into.set(this.destination.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
        return true;
      },
      nothingHeld,
      nothingHeld,
    );
    let at = 0;
    for (const { first, count } of pages.runs) {
      this.destination.set(pages.data.subarray(at, at + count * PAGE_SIZE), first * PAGE_SIZE);
      for (let page = first; page < first + count; page++) this.#received.add(page);
      at += count * PAGE_SIZE;
    }
    return result;
  }

  fill(page: number, seed: number): void {
    for (let i = 0; i < PAGE_SIZE; i++) this.source[page * PAGE_SIZE + i] = (Math.imul(i + 1, seed) >>> 11) & 0xff;
  }

  get isEqual(): boolean {
    return Buffer.compare(this.source, this.destination) === 0;
  }
}

const ALL: PageRun[] = [{ first: 0, count: PAGES }];

function filledPair(): Pair {
  const pair = new Pair();
  for (let page = 0; page < PAGES; page++) pair.fill(page, page * 7919 + 13);
  return pair;
}

describe('packed pages', () => {
  test.each<PackCodec>(['none', 'lz4', 'zstd'])('come out as they went in, with codec %s', (codec) => {
    const pair = filledPair();
    pair.send(ALL, { codec });
    expect(pair.isEqual).toBe(true);
  });

  test('what has not changed is not sent, of what has only the lines that have', () => {
    const pair = filledPair();
    expect(pair.send(ALL)).toMatchObject({ samePages: 0, deltaPages: 0 });
    pair.source[5 * PAGE_SIZE + 100]! ^= 1;
    pair.source[9 * PAGE_SIZE]! ^= 1;
    pair.source[9 * PAGE_SIZE + 4095]! ^= 1;
    const result = pair.send(ALL, { codec: 'none' });
    expect(result).toMatchObject({
      runs: [
        { first: 5, count: 1, kind: 'delta' },
        { first: 9, count: 1, kind: 'delta' },
      ],
      samePages: PAGES - 2,
      deltaPages: 2,
      bodyBytes: 8 + 64 + 8 + 128,
      deltaSavedBytes: 2 * 4096 - 208,
    });
    expect(pair.isEqual).toBe(true);
    expect(pair.send(ALL)).toMatchObject({ samePages: PAGES, runs: [], bodyBytes: 0 });
  });

  test('a page that has changed in most lines is sent whole', () => {
    const pair = filledPair();
    pair.send(ALL);
    for (let line = 0; line < 50; line++) pair.source[3 * PAGE_SIZE + line * 64]! ^= 1;
    expect(pair.send(ALL).runs).toEqual([{ first: 3, count: 1, kind: 'data' }]);
    expect(pair.isEqual).toBe(true);
  });

  test('without the steps every page is sent whole', () => {
    const pair = filledPair();
    pair.send(ALL, { same: false, delta: false });
    const again = pair.send(ALL, { same: false, delta: false, codec: 'none' });
    expect(again).toMatchObject({ isPlain: true, samePages: 0, runs: [{ first: 0, count: PAGES, kind: 'data' }] });
  });

  test('unchanged and delta can be had without each other', () => {
    const pair = filledPair();
    pair.send(ALL);
    pair.source[0]! ^= 1;
    expect(pair.send(ALL, { delta: false })).toMatchObject({ samePages: PAGES - 1, deltaPages: 0 });
    pair.source[0]! ^= 1;
    expect(pair.send(ALL, { same: false })).toMatchObject({ samePages: 0, deltaPages: 1 });
    expect(pair.isEqual).toBe(true);
  });

  test('contents that cannot be compressed are sent as they are', () => {
    const pair = new Pair();
    crypto.getRandomValues(pair.source.subarray(0, 65_536));
    expect(pair.send([{ first: 0, count: 16 }])).toMatchObject({ codec: 'none', isPlain: true });
    expect(pair.isEqual).toBe(true);
  });

  test('zero pages in between are left out', () => {
    const pair = new Pair();
    for (const page of [1, 2, 5, 63]) pair.fill(page, 99);
    expect(pair.send(ALL).runs.map(({ first, count }) => [first, count])).toEqual([
      [1, 2],
      [5, 1],
      [63, 1],
    ]);
    expect(pair.isEqual).toBe(true);
  });

  test('after any writes, sent in any pieces, the destination has the same', () => {
    const write = fc.record({ page: fc.nat(PAGES - 1), at: fc.nat(PAGE_SIZE - 1), value: fc.nat(255) });
    const step = fc.record({
      writes: fc.array(write, { maxLength: 60 }),
      first: fc.nat(PAGES - 1),
      count: fc.integer({ min: 1, max: PAGES }),
      codec: fc.constantFrom<PackCodec>('none', 'lz4', 'zstd'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const pair = filledPair();
        for (const { writes, first, count, codec } of steps) {
          for (const { page, at, value } of writes) pair.source[page * PAGE_SIZE + at] = value;
          pair.send([{ first, count: Math.min(count, PAGES - first) }], { codec });
        }
        pair.send(ALL);
        expect(pair.isEqual).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('what does not unpack is refused', () => {
  const one = { codec: 'zstd', runs: [{ first: 0, count: 1, kind: 'data' }], bodyBytes: PAGE_SIZE } as const;
  const frame = (packed: Uint8Array, how: object = {}) => ({ ...one, ...how, pages: 1, digests: undefined, packed });

  test('garbage', () => {
    expect(() =>
      new PageUnpacker().unpack(frame(new Uint8Array(50).fill(3)), () => true, nothingHeld, nothingHeld),
    ).toThrow('it does not unpack to 4096 bytes with zstd');
  });

  test('a delta of a page that is not here', () => {
    const body = new Uint8Array(8 + 64);
    body[0] = 1;
    const delta = { codec: 'none', runs: [{ first: 0, count: 1, kind: 'delta' }], bodyBytes: body.length };
    expect(() => new PageUnpacker().unpack(frame(body, delta), () => false, nothingHeld, nothingHeld)).toThrow(
      'page 0 is not here to be changed',
    );
  });
});

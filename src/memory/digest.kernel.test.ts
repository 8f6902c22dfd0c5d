import { describe, expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { differenceOfDigests, digestMemory } from './digest.ts';
import { availableDigestSchemes, createPageDigest } from './page-digest.ts';

const CHUNK_PAGES = 16_384;

describe.each(availableDigestSchemes())('digests by %s', (scheme) => {
  test('equal memories have equal digests, however they came about', () => {
    using a = new ScratchMemory(2048);
    using b = new ScratchMemory(2048);
    a.fill(0, 1, 2, 3);
    a.fill(1000, 9);
    b.fill(1000, 9);
    b.fill(0, 1, 2, 3);
    b.fill(500, 0); // a page of zeros where the other has a hole
    const digest = digestMemory(a.memory, { scheme });
    expect(digest).toMatchObject({ scheme, pages: 4, digest: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(digestMemory(b.memory, { scheme })).toEqual(digest);
  });

  test('one changed bit, two swapped pages and a moved page change it', () => {
    using scratch = new ScratchMemory(64);
    scratch.fill(10, 1, 2);
    const { digest } = digestMemory(scratch.memory, { scheme });
    const seen = new Set([digest]);
    const bit = new Uint8Array(PAGE_SIZE).fill(1);
    bit[4095] = 3;
    scratch.memory.writePages({ first: 10, count: 1 }, bit);
    seen.add(digestMemory(scratch.memory, { scheme }).digest);
    scratch.fill(10, 2, 1);
    seen.add(digestMemory(scratch.memory, { scheme }).digest);
    scratch.fill(10, 0, 1, 2);
    seen.add(digestMemory(scratch.memory, { scheme }).digest);
    expect(seen.size).toBe(4);
  });

  test('memory without contents has the digest zero, and hashing fills no hole', () => {
    using scratch = new ScratchMemory(64);
    expect(digestMemory(scratch.memory, { scheme })).toEqual({
      scheme,
      pages: 0,
      digest: '0'.repeat(32),
      chunks: ['0'.repeat(32)],
    });
    expect(scratch.residentPages()).toBe(0);
  });

  test('the chunks tell where two memories differ', () => {
    using a = new ScratchMemory(3 * CHUNK_PAGES);
    using b = new ScratchMemory(3 * CHUNK_PAGES);
    for (const memory of [a, b]) memory.fill(CHUNK_PAGES - 1, 1, 2);
    b.fill(2 * CHUNK_PAGES + 5, 7);
    const ours = digestMemory(a.memory, { scheme });
    const theirs = digestMemory(b.memory, { scheme });
    expect(differenceOfDigests(ours, ours)).toBeUndefined();
    expect(differenceOfDigests(ours, theirs)).toBe(
      '2 and 3 pages that are not zero; the difference lies in 128–192 MiB',
    );
  });

  test('only the pages asked for are hashed', () => {
    using scratch = new ScratchMemory(64);
    scratch.fill(0, 1, 2, 3, 4);
    const runs = [{ first: 1, count: 2 }];
    const { pages, digest } = digestMemory(scratch.memory, { scheme, runs });
    scratch.memory.punch({ first: 0, count: 1 });
    scratch.memory.punch({ first: 3, count: 1 });
    expect({ pages, digest }).toEqual({ pages: 2, digest: digestMemory(scratch.memory, { scheme }).digest });
  });

  test('the digest of the memory is the sum of the digests of its pages', () => {
    using scratch = new ScratchMemory(64);
    scratch.fill(30, 5, 6);
    const contents = new Uint8Array(2 * PAGE_SIZE).fill(5).fill(6, PAGE_SIZE);
    const parts = createPageDigest(scheme).digestParts([{ first: 30, count: 2 }], [contents]);
    const words = new BigUint64Array(parts.buffer);
    const first = words[0]! + (words[1]! << 64n);
    const second = words[2]! + (words[3]! << 64n);
    const sum = BigInt.asUintN(128, first + second);
    expect(digestMemory(scratch.memory, { scheme }).digest).toBe(sum.toString(16).padStart(32, '0'));
  });

  test('pages that arrived are compared with the digests that came along', () => {
    const hasher = createPageDigest(scheme);
    const runs = [
      { first: 3, count: 2 },
      { first: 9, count: 1 },
    ];
    const contents = new Uint8Array(3 * PAGE_SIZE).map((_, i) => i % 251);
    const whole = hasher.digestParts(runs, [contents]);
    const inParts = hasher.digestParts(runs, [contents.subarray(0, PAGE_SIZE), contents.subarray(PAGE_SIZE)]);
    expect(inParts).toEqual(whole);
    hasher.check(runs, contents, whole);
    contents[2 * PAGE_SIZE]! ^= 1;
    expect(() => hasher.check(runs, contents, whole)).toThrow(
      expect.objectContaining({ code: 'GW_MIGRATION_VERIFY', message: expect.stringContaining('page 9 ') }),
    );
    expect(() => hasher.digestParts(runs, [contents.subarray(PAGE_SIZE)])).toThrow(RangeError);
    expect(() => hasher.check(runs.slice(0, 1), contents.subarray(0, 2 * PAGE_SIZE), whole)).toThrow(RangeError);
  });
});

test('the two schemes are never taken for each other', () => {
  using scratch = new ScratchMemory(4);
  const ours = digestMemory(scratch.memory, { scheme: 'sha256' });
  expect(differenceOfDigests(ours, { ...ours, scheme: 'xxh3-128' })).toBe('one digest is sha256, the other xxh3-128');
});

import { describe, expect, test } from 'vitest';
import { availableCodecs, type CodecName, openCodec } from './compression.ts';

const PAGE = 4096;

/** Half of every page repeats, the other half is random. */
function sampleOf(pages: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE);
  for (let page = 0; page < pages; page++) {
    crypto.getRandomValues(bytes.subarray(page * PAGE, page * PAGE + PAGE / 2));
    bytes.fill(page & 0xff, page * PAGE + PAGE / 2, (page + 1) * PAGE);
  }
  return bytes;
}

describe.each(['zstd', 'lz4'] as const satisfies readonly CodecName[])('%s', (name) => {
  const codec = openCodec(name);
  const sample = sampleOf(256);
  const packed = new Uint8Array(sample.length);

  test.each([1, 3])('what is compressed at level %i comes back', (level) => {
    const bytes = codec.compress(sample, packed, level);
    expect(bytes).toBeGreaterThan(sample.length / 2);
    expect(bytes).toBeLessThan(sample.length * 0.55);
    const unpacked = new Uint8Array(sample.length);
    expect(codec.decompress(packed.subarray(0, bytes), unpacked)).toBe(sample.length);
    expect(Buffer.compare(unpacked, sample)).toBe(0);
  });

  test('memory that threads share may be used', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(sample.length));
    shared.set(sample);
    const into = new Uint8Array(new SharedArrayBuffer(sample.length));
    const bytes = codec.compress(shared, into, 1);
    const unpacked = new Uint8Array(sample.length);
    expect(codec.decompress(into.subarray(0, bytes), unpacked)).toBe(sample.length);
    expect(Buffer.compare(unpacked, sample)).toBe(0);
  });

  test('what does not fit is not written', () => {
    const small = new Uint8Array(1000 + 16).fill(7);
    expect(codec.compress(sample, small.subarray(0, 1000), 1)).toBe(0);
    expect([...small.subarray(1000)]).toEqual(new Array(16).fill(7));
    const bytes = codec.compress(sample, packed, 1);
    expect(codec.decompress(packed.subarray(0, bytes), small.subarray(0, 1000))).toBe(-1);
    expect([...small.subarray(1000)]).toEqual(new Array(16).fill(7));
  });

  test('garbage is told apart, and cut-off blocks', () => {
    const to = new Uint8Array(sample.length);
    expect(codec.decompress(new Uint8Array(100).fill(255), to)).toBe(-1);
    const bytes = codec.compress(sample, packed, 1);
    expect(codec.decompress(packed.subarray(0, bytes >> 1), to)).not.toBe(sample.length);
  });
});

test('this host has both', () => {
  expect(availableCodecs()).toEqual(['zstd', 'lz4']);
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createPageSample,
  estimateHeld,
  estimateIntersection,
  estimatePages,
  estimateUnion,
  KEY_LIMIT,
  type PageSample,
  SAMPLED_OF,
  sampleKey,
} from '../base/page-sample.ts';
import { randomFrom } from '../base/random.ts';
import { estimateSaving, measureCommonality } from './commonality.ts';
import { contentsOf, indexContents } from './content-index.ts';
import { HeldContents } from './held-contents.ts';
import { randomKey } from './synthetic-fleet.ts';

/** VMs of few contents, so that many have some and few have others. */
const fleets = fc
  .array(fc.array(fc.nat({ max: 30 }), { maxLength: 40 }), { minLength: 1, maxLength: 12 })
  .map((vms) => vms.map((keys) => createPageSample(keys.map((key) => (key * KEY_LIMIT) / 32))));

const common = (a: PageSample, b: PageSample): number => a.keys.filter((key) => b.keys.includes(key)).length;

describe('a sample', () => {
  test('has one fingerprint of 64, and 53 bits of it that are independent of that', () => {
    const fingerprint = Uint8Array.of(0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0);
    expect(sampleKey(fingerprint)).toBe(KEY_LIMIT - 1);
    expect(sampleKey(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0))).toBe(0);
    expect(sampleKey(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0))).toBeNull();
  });

  test('counts how many pages have a content', () => {
    const { keys, counts } = createPageSample([7, 3, 7, 7]);
    expect([[...keys], [...counts]]).toEqual([
      [3, 7],
      [1, 3],
    ]);
  });

  test('gives sizes that are right on average and off by the standard error it tells', () => {
    const random = randomFrom(3);
    // Contents 0 … 20 000 of one VM, 12 000 … 32 000 of the other; each content of the second twice.
    const errors = Array.from({ length: 200 }, () => {
      const [a, b]: [number[], number[]] = [[], []];
      for (let content = 0; content < 32_000; content++) {
        if (random() * SAMPLED_OF >= 1) continue;
        if (content < 20_000) a.push(content);
        if (content >= 12_000) b.push(content, content);
      }
      const [left, right] = [createPageSample(a), createPageSample(b)];
      const off = ({ value, standardError }: { value: number; standardError: number }, truth: number): number =>
        (value - truth) / standardError;
      return [
        off(estimateIntersection([left, right]), 8_000),
        off(estimateUnion([left, right]), 32_000),
        off(estimatePages(right), 40_000),
        off(estimateHeld(right, left), 16_000),
      ];
    });
    for (const which of [0, 1, 2, 3]) {
      const values = errors.map((each) => each[which]!);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
      // 200 tries: the mean is known to 0.07, the deviation to 0.05.
      expect(Math.abs(mean)).toBeLessThan(0.25);
      expect(deviation).toBeGreaterThan(0.8);
      expect(deviation).toBeLessThan(1.2);
    }
  });
});

describe('the matrix', () => {
  test('is what comparing every pair gives', () => {
    fc.assert(
      fc.property(fleets, (samples) => {
        const index = indexContents(samples);
        const matrix = measureCommonality(index);
        samples.forEach((a, i) => {
          expect(contentsOf(index, i)).toBe(a.keys.length * SAMPLED_OF);
          samples.forEach((b, j) => {
            expect(matrix.common(i, j)).toBe(common(a, b) * SAMPLED_OF);
          });
        });
      }),
    );
  });

  test('is so also for contents that nearly all of many VMs have, and over many ranges of keys', () => {
    const random = randomFrom(5);
    const image = Array.from({ length: 2000 }, () => randomKey(random));
    const samples = Array.from({ length: 70 }, () =>
      createPageSample(image.map((key) => (random() < 0.7 ? key : randomKey(random)))),
    );
    const matrix = measureCommonality(indexContents(samples));
    for (const [a, b] of [
      [0, 1],
      [0, 69],
      [33, 34],
    ] as const) {
      expect(matrix.common(a, b)).toBe(estimateIntersection([samples[a]!, samples[b]!]).value);
      expect(matrix.standardError(b, a)).toBe(estimateIntersection([samples[a]!, samples[b]!]).standardError);
    }
  });

  test('tells memory that is shared physically apart', () => {
    const ring = { name: 'ring', pages: 100 };
    const matrix = measureCommonality(indexContents([createPageSample([1]), createPageSample([1])]), [[ring], [ring]]);
    expect(matrix.samePages(0, 1)).toBe(100);
    expect(matrix.common(0, 1)).toBe(SAMPLED_OF);
  });

  test('the saving of a group is what its VMs have less what their union has', () => {
    fc.assert(
      fc.property(fleets, (samples) => {
        const { union, saved } = estimateSaving(
          indexContents(samples),
          samples.map((_, vm) => vm),
        );
        expect(union.value).toBe(estimateUnion(samples).value);
        expect(saved.value).toBe(samples.reduce((sum, { keys }) => sum + keys.length * SAMPLED_OF, 0) - union.value);
      }),
    );
  });
});

describe('what a host holds', () => {
  test('is sent as names, all else in full', () => {
    fc.assert(
      fc.property(fleets, fc.nat(), fc.nat(), (samples, of, by) => {
        const [vm, other] = [of % samples.length, by % samples.length];
        const held = new HeldContents(indexContents(samples), [other]);
        const { newPages, heldPages } = held.toBring(vm);
        expect(newPages + heldPages).toBe(estimatePages(samples[vm]!).value);
        // A VM's own contents are not held by others, and so are not remembered.
        const expected = vm === other ? heldPages : estimateHeld(samples[vm]!, samples[other]!).value;
        expect(heldPages).toBe(expected);
      }),
    );
  });

  test('orders a group so that each next VM brings least', () => {
    fc.assert(
      fc.property(fleets, (samples) => {
        const vms = samples.map((_, vm) => vm);
        const held = new HeldContents(indexContents(samples));
        const order = held.order(vms, 0);
        expect([...order].sort((a, b) => a - b)).toEqual(vms);
        expect(order[0]).toBe(0);
        const left = new Set(vms);
        for (const vm of order) {
          const least = Math.min(...[...left].map((other) => held.toBring(other).newPages));
          const isFirst = left.size === vms.length;
          expect(isFirst || held.toBring(vm).newPages === least).toBe(true);
          left.delete(vm);
          held.add(vm);
        }
      }),
    );
  });

  test('counts what comes besides', () => {
    const index = indexContents([[1, 2, 3], [1], [2]].map(createPageSample));
    const held = new HeldContents(index, [1]);
    expect(held.toBring(0, new HeldContents(index, [2]))).toEqual({ newPages: SAMPLED_OF, heldPages: 2 * SAMPLED_OF });
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPageSample } from '../base/page-sample.ts';
import { measureCommonality, type SharedRegion } from './commonality.ts';
import { indexContents } from './content-index.ts';
import { type Grouping, type Groups, groupNone, groupVms } from './grouping.ts';
import { groupPairs } from './pair-grouping.ts';
import { groupAroundRepresentatives } from './representative-grouping.ts';

const STRATEGIES = [
  ['none', groupNone],
  ['pairs', groupPairs],
  ['representatives', groupAroundRepresentatives],
] as const;

function group(grouping: Grouping, keys: readonly (readonly number[])[], regions: SharedRegion[][] = []): Groups {
  const commonality = measureCommonality(indexContents(keys.map(createPageSample)), regions);
  return groupVms(grouping, { vms: keys.map((_, vm) => vm), commonality });
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
/** Three of one image, of which the second has most; two of another; one of its own. */
const FLEET = [range(0, 60), range(0, 100), range(45, 100), range(200, 280), range(210, 290), range(500, 560)];

describe.each(STRATEGIES)('%s', (_, grouping) => {
  test('puts each VM into one group', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat({ max: 40 }), { maxLength: 30 }), { maxLength: 14 }), (keys) => {
        const groups = group(grouping, keys);
        expect(groups.flat().sort((a, b) => a - b)).toEqual(keys.map((_keys, vm) => vm));
        expect(groups.every((each) => each.length > 0)).toBe(true);
      }),
    );
  });

  test('keeps those together that share memory, whatever is in it', () => {
    const ring = [{ name: 'ring', pages: 10 }];
    const groups = group(grouping, FLEET, [ring, [], [], [], [], ring]);
    expect(groups.find((each) => each.includes(0))).toContain(5);
  });

  test('gives nothing for nothing', () => {
    expect(group(grouping, [])).toEqual([]);
  });
});

test('pairs are those with most in common; who is left over goes alone', () => {
  expect(group(groupPairs, FLEET)).toEqual([[3, 4], [0, 1], [2], [5]]);
});

test('the VM that holds most of what others have is followed by them', () => {
  expect(group(groupAroundRepresentatives, FLEET)).toEqual([[1, 0, 2], [3, 4], [5]]);
});

test('a few contents in common make no group', () => {
  const keys = [range(0, 100), range(97, 197)];
  expect(group(groupPairs, keys)).toHaveLength(2);
  expect(group(groupAroundRepresentatives, keys)).toHaveLength(2);
});

test('representatives save at least half of what the best choice of as many would', () => {
  const saving = (chosen: readonly number[], common: (a: number, b: number) => number, count: number): number =>
    range(0, count).reduce(
      (sum, vm) => sum + (chosen.includes(vm) ? 0 : Math.max(0, ...chosen.map((each) => common(vm, each)))),
      0,
    );
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.nat({ max: 25 }), { minLength: 5, maxLength: 25 }), { minLength: 2, maxLength: 7 }),
      (keys) => {
        const { common } = measureCommonality(indexContents(keys.map(createPageSample)));
        const groups = group(groupAroundRepresentatives, keys).filter((each) => each.length > 1);
        const chosen = groups.map(([first]) => first!);
        const subsets = range(0, 2 ** keys.length).map((bits) => range(0, keys.length).filter((i) => (bits >> i) & 1));
        const best = Math.max(
          ...subsets.filter((set) => set.length === chosen.length).map((set) => saving(set, common, keys.length)),
        );
        expect(saving(chosen, common, keys.length)).toBeGreaterThanOrEqual(best / 2);
      },
    ),
  );
});

import { expect, test } from 'vitest';
import type { CommonalityView } from '../../src/api/commonality-schema.ts';
import { grainPairs } from './grain-pairs.ts';

const zeros = [
  [0, 0, 0],
  [0, 0, 0],
  [0, 0, 0],
];
const VIEW: CommonalityView = {
  host: 'a',
  atMs: 0,
  isExact: false,
  vms: ['x', 'y', 'z'],
  leftOut: [],
  sameMemory: zeros,
  grains: [
    { grainBytes: 4096, common: zeros, standardError: zeros, refuted: 0 },
    {
      grainBytes: 64,
      common: [
        [100, 10, 60],
        [10, 20, 0],
        [60, 0, 300],
      ],
      standardError: [
        [0, 1, 2],
        [1, 0, 3],
        [2, 3, 0],
      ],
      refuted: 0,
    },
  ],
};

test('each two VMs are a pair, the most alike first, as a part of the smaller one', () => {
  expect(grainPairs(VIEW, 64)).toEqual([
    { a: 'x', b: 'z', commonBytes: 60, standardErrorBytes: 2, part: 0.6 },
    { a: 'x', b: 'y', commonBytes: 10, standardErrorBytes: 1, part: 0.5 },
    { a: 'y', b: 'z', commonBytes: 0, standardErrorBytes: 3, part: 0 },
  ]);
  expect(grainPairs(VIEW, 4096).map(({ part }) => part)).toEqual([0, 0, 0]);
  expect(grainPairs(VIEW, 1024)).toEqual([]);
});

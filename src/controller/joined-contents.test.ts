import { expect, test } from 'vitest';
import { createPageSample } from '../base/page-sample.ts';
import { encodePageSample } from '../base/page-sample-code.ts';
import { JoinedContents, type ToldContents } from './joined-contents.ts';

const told = (vm: string, keys: readonly number[], regions: ToldContents['regions'] = []): ToldContents => ({
  vm,
  text: encodePageSample(createPageSample(keys)),
  regions,
});
const common = (joined: JoinedContents, all: readonly ToldContents[], a: string, b: string): number => {
  const { commonality, numbers } = joined.join(all);
  return commonality.common(numbers.get(a)!, numbers.get(b)!) / 64;
};

test('as long as all have what they had it is joined once, wherever they are by then', () => {
  const joined = new JoinedContents();
  const [x, y] = [told('x', [1, 2, 3]), told('y', [2, 3, 4])];
  const first = joined.join([x, y]);
  expect(common(joined, [x, y], 'x', 'y')).toBe(2);
  expect(joined.join([told('y', [2, 3, 4]), told('x', [1, 2, 3])])).toBe(first);
});

test.each([
  ['a sample that is new', [told('x', [1, 2, 3]), told('y', [1, 2, 3])], 3],
  ['a VM that came', [told('x', [1, 2, 3]), told('y', [2, 3, 4]), told('z', [1])], 2],
  ['memory that they share', [told('x', [1, 2, 3], [{ name: 'bus', pages: 1 }]), told('y', [2, 3, 4])], 2],
  ['a sample that is not known any more', [told('x', [1, 2, 3]), { vm: 'y', text: null, regions: [] }], 0],
  ['one that is none', [told('x', [1, 2, 3]), { vm: 'y', text: 'AAAA', regions: [] }], 0],
])('%s has it joined anew', (_what, all, expected) => {
  const joined = new JoinedContents();
  const first = joined.join([told('x', [1, 2, 3]), told('y', [2, 3, 4])]);
  expect(joined.join(all)).not.toBe(first);
  expect(common(joined, all, 'x', 'y')).toBe(expected);
});

test('of two VMs of one name both are in it', () => {
  const { numbers, index } = new JoinedContents().join([told('x', [1]), told('x', [2])]);
  expect([index.vmCount, numbers.size]).toEqual([2, 1]);
});

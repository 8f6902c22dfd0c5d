import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findGroups } from './vm-groups.ts';

type Regions = Record<string, string[]>;

const group = (regions: Regions): [string, string, string][] =>
  findGroups(Object.entries(regions).map(([name, vms]) => ({ name, vms }))).map(({ name, regions: names, vms }) => [
    name,
    names.join(' '),
    vms.join(' '),
  ]);

test.each<[string, Regions, [string, string, string][]]>([
  ['no region', {}, []],
  ['a region that no VM has', { bus: [] }, []],
  ['a VM alone', { bus: ['b'] }, [['bus', 'bus', 'b']]],
  ['two that share', { bus: ['b', 'a'] }, [['bus', 'bus', 'a b']]],
  [
    'two groups',
    { log: ['c', 'd'], bus: ['a', 'b'] },
    [
      ['bus', 'bus', 'a b'],
      ['log', 'log', 'c d'],
    ],
  ],
  ['two regions of the same VMs', { log: ['a', 'b'], bus: ['a', 'b'] }, [['bus', 'bus log', 'a b']]],
  ['a chain', { z: ['a', 'b'], y: ['b', 'c'], x: ['c', 'd'] }, [['x', 'x y z', 'a b c d']]],
  [
    'two groups that a third region joins',
    { x: ['a', 'b'], y: ['c', 'd'], z: ['d', 'a'] },
    [['x', 'x y z', 'a b c d']],
  ],
])('%s', (_, regions, wanted) => {
  expect(group(regions)).toEqual(wanted);
});

test('every VM and every region is in one group, whatever the order, and groups have nothing in common', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g');
  const regions = fc.uniqueArray(fc.record({ name: fc.constantFrom('p', 'q', 'r', 's'), vms: fc.uniqueArray(names) }), {
    selector: ({ name }) => name,
  });
  fc.assert(
    fc.property(regions, (given) => {
      const groups = findGroups(given);
      expect(findGroups(given.toReversed())).toEqual(groups);
      const used = given.filter(({ vms }) => vms.length > 0);
      expect(groups.flatMap((each) => each.regions).sort()).toEqual(used.map(({ name }) => name).sort());
      expect(groups.flatMap((each) => each.vms).sort()).toEqual([...new Set(used.flatMap(({ vms }) => vms))].sort());
      for (const { name, vms } of used) {
        expect(groups.find((each) => each.regions.includes(name))?.vms).toEqual(expect.arrayContaining(vms));
      }
    }),
  );
});

import { expect, test } from 'vitest';
import { labelsOf, type MigrationPolicy, optionsOf, policyOf } from './fleet-labels.ts';

const policy = (name: string, vms: Record<string, string>, hosts: Record<string, string> = {}): MigrationPolicy => {
  return { name, vms, hosts, settings: {}, stays: false };
};

test('labels are those of all patterns that fit, the later wins', () => {
  const known = [
    { pattern: 'web*', labels: { tier: 'web', size: 'small' } },
    { pattern: '*', labels: { all: 'yes' } },
    { pattern: 'web1', labels: { size: 'big' } },
    { pattern: 'web', labels: { never: 'x' } },
    { pattern: 'w.b1', labels: { never: 'y' } },
  ];
  expect(labelsOf('web1', known)).toEqual({ tier: 'web', size: 'big', all: 'yes' });
});

test.each<[string, MigrationPolicy[], string | null]>([
  ['none', [], null],
  ['one that wants what is not there', [policy('x', { tier: 'db' })], null],
  ['one that wants nothing', [policy('x', {})], 'x'],
  ['most labels', [policy('a', {}), policy('b', { tier: 'web' }), policy('c', { tier: 'web' }, { zone: '1' })], 'c'],
  ['a host that is another', [policy('b', { tier: 'web' }), policy('c', { tier: 'web' }, { zone: '2' })], 'b'],
  ['the first by name', [policy('b', { tier: 'web' }), policy('a', { size: 'big' })], 'a'],
])('of %s the policy is found', (_what, policies, expected) => {
  expect(policyOf(policies, { tier: 'web', size: 'big' }, { zone: '1' })?.name ?? null).toBe(expected);
});

test('a policy says how, and leaves the rest to the defaults', () => {
  const options = optionsOf({ ...policy('x', {}), settings: { mode: 'pre-copy', maxDowntimeMs: undefined } });
  expect([options.mode, options.maxDowntimeMs]).toEqual(['pre-copy', 50]);
});

import { expect, test } from 'vitest';
import { chooseAccelerator } from './accelerator.ts';

const flags = (text: string): Set<string> => new Set(text.split(' '));

test.each([
  ['auto', undefined, 'fpu vmx', 'kvm'],
  ['auto', undefined, 'fpu svm', 'kvm'],
  ['auto', undefined, 'fpu hypervisor', 'tcg'],
  ['auto', 'EACCES', 'fpu vmx', 'tcg'],
  ['auto', 'ENOENT', 'fpu', 'tcg'],
  ['kvm', 'ENOENT', 'fpu', 'kvm'],
  ['tcg', undefined, 'fpu vmx', 'tcg'],
] as const)('%s with /dev/kvm %s and flags "%s" is %s', (wanted, deviceError, cpuFlags, accel) => {
  expect(chooseAccelerator(wanted, { deviceError, cpuFlags: flags(cpuFlags) }).accel).toBe(accel);
});

test('the reason says what is missing', () => {
  expect(chooseAccelerator('auto', { deviceError: 'EACCES', cpuFlags: flags('vmx') }).reason).toBe('/dev/kvm: EACCES');
});

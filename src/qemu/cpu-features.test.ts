import { expect, test } from 'vitest';
import { parseCpuFeature, printCpuFeature } from './cpu-features.ts';

test.each([
  { register: '0x1.ECX', bits: 1 },
  { register: '0x7:0.EBX', bits: 0xffff_ffff },
  { register: '0xc0000001.EDX', bits: 2 ** 31 },
])('a word that was printed is read again: $register', (word) => {
  expect(parseCpuFeature(printCpuFeature(word))).toEqual(word);
});

test.each([
  'sse2',
  '{"register":"0x1.ECX","bits":4294967296}',
  '{"register":"0x1.ECX","bits":-1}',
  '{"register":"0x1.ECX","bits":1.5}',
  '{"register":"ECX","bits":1}',
  '{"register":"0x1.ECX","bits":1} ',
])('what is no word is not taken for one: %s', (text) => {
  expect(parseCpuFeature(text)).toBeUndefined();
});

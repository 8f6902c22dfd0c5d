/** Fingerprints depend on the key and on the contents, and on nothing else. */
import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { PageFingerprint } from './page-fingerprint.ts';

const key = (fill: number) => new Uint8Array(32).fill(fill);
const memory = new Uint8Array(new SharedArrayBuffer(3 * 4096)).map((_, i) => (i * 7) & 0xff);
memory.copyWithin(8192, 0, 4096);

test('of equal pages they are equal, wherever they lie', () => {
  const fingerprint = new PageFingerprint(key(1));
  const first = fingerprint.of(memory, 0);
  expect(first.equals(fingerprint.of(memory, 8192))).toBe(true);
  expect(new PageFingerprint(key(1)).of(memory, 0).equals(first)).toBe(true);
  memory[8192 + 4095]! ^= 1;
  expect(first.equals(fingerprint.of(memory, 8192))).toBe(false);
  memory[8192 + 4095]! ^= 1;
});

test('it is what it says: the first half of SHA-256 of a block with the key and the page', () => {
  const message = Buffer.concat([key(1), new Uint8Array(32), memory.slice(0, 4096)]);
  expect(new PageFingerprint(key(1)).of(memory, 0).toString('hex')).toBe(hash('sha256', message).slice(0, 32));
});

test('another key has other fingerprints and another name, which is not the key', () => {
  const [one, two] = [new PageFingerprint(key(1)), new PageFingerprint(key(2))];
  expect(one.of(memory, 0).equals(two.of(memory, 0))).toBe(false);
  expect(one.keyName.equals(two.keyName)).toBe(false);
  expect(one.keyName.equals(key(1).subarray(0, 8))).toBe(false);
});

test('a key of another length is none', () => {
  expect(() => new PageFingerprint(new Uint8Array(31))).toThrow(RangeError);
});

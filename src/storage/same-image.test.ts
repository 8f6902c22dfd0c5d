import { describe, expect, test } from 'vitest';
import type { OfferedDisk, OfferedImage } from '../wire/disk-messages.ts';
import { explainOtherImage } from './same-image.ts';
import { hashOfToken } from './sharing-token.ts';

const TOKEN = 'a'.repeat(64);
const FILE: OfferedImage = { kind: 'file', inode: '12', bytes: 8192, identity: [] };
const DEVICE: OfferedImage = { kind: 'device', inode: '', bytes: 8192, identity: ['naa.600000000000000a'] };
const DISK: OfferedDisk = {
  name: 'd0',
  path: '/images/a',
  format: 'raw',
  readonly: false,
  virtualBytes: 8192,
  image: FILE,
  token: { name: '.godwit-0123456789abcdef', hash: hashOfToken(TOKEN) },
  backing: [],
};
const ON_DEVICE: OfferedDisk = { ...DISK, image: DEVICE, token: null };

describe('a file', () => {
  test('is the same with the token beside it and the same number', () => {
    expect(explainOtherImage(DISK, { image: FILE, token: TOKEN })).toBeUndefined();
  });

  test.each<[string, Partial<OfferedDisk>, OfferedImage | null, string | undefined, RegExp]>([
    ['nothing there', {}, null, undefined, /no such file/],
    ['a device there', {}, DEVICE, TOKEN, /a file at the source and a block device/],
    ['no token there', {}, FILE, undefined, /another directory/],
    ['another token there', {}, FILE, 'b'.repeat(64), /another directory/],
    ['no token written', { token: null }, FILE, TOKEN, /could not write a token/],
    ['another file there', {}, { ...FILE, inode: '13' }, TOKEN, /another file of the same directory/],
    ['another size', {}, { ...FILE, bytes: 4096 }, TOKEN, /8192 bytes at the source and 4096/],
  ])('is not with %s', (_, disk, image, token, told) => {
    expect(explainOtherImage({ ...DISK, ...disk }, { image, token })).toMatch(told);
  });

  test('that grows may have grown since', () => {
    const grown = { image: { ...FILE, bytes: 65_536 }, token: TOKEN };
    expect(explainOtherImage({ ...DISK, format: 'qcow2' }, grown)).toBeUndefined();
  });

  test('that nobody writes needs no token, but the same size', () => {
    const readonly = { ...DISK, readonly: true, token: null };
    expect(explainOtherImage(readonly, { image: { ...FILE, inode: '99' }, token: undefined })).toBeUndefined();
    expect(explainOtherImage(readonly, { image: { ...FILE, bytes: 1 }, token: undefined })).toMatch(/bytes/);
  });
});

describe('a device', () => {
  test('is the same by its worldwide names', () => {
    expect(explainOtherImage(ON_DEVICE, { image: DEVICE, token: undefined })).toBeUndefined();
  });

  test.each<[string, OfferedImage, OfferedImage, RegExp]>([
    ['no name', { ...DEVICE, identity: [] }, { ...DEVICE, identity: [] }, /no worldwide name/],
    ['another name there', DEVICE, { ...DEVICE, identity: ['naa.600000000000000b'] }, /another device/],
    ['a name less there', { ...DEVICE, identity: ['dm.x', 'naa.1'] }, { ...DEVICE, identity: ['dm.x'] }, /another/],
    ['another size', DEVICE, { ...DEVICE, bytes: 1 }, /bytes/],
  ])('is not with %s', (_, ours, theirs, told) => {
    expect(explainOtherImage({ ...ON_DEVICE, image: ours }, { image: theirs, token: undefined })).toMatch(told);
  });
});

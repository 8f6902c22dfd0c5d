/** What QEMU's own tools say of the images. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { createImage } from './new-image.ts';

const GIB = 2 ** 30;

requireCapability('vm')('a new image', () => {
  test.each([
    ['raw', 512],
    ['raw', 5 * GIB],
    ['qcow2', 512],
    ['qcow2', GIB / 2 + 512],
    ['qcow2', 5 * GIB],
    ['qcow2', 16 * 1024 * GIB],
  ])('%s of %i bytes is whole, empty and takes no room', (format, bytes) => {
    using directory = new TempDirectory();
    const path = directory.join('new');
    createImage('d', path, format, bytes);
    const info = JSON.parse(
      execFileSync('qemu-img', ['info', '-f', format, '--output', 'json', path], { encoding: 'utf8' }),
    );
    expect(info).toMatchObject({ format, 'virtual-size': bytes });
    if (format === 'qcow2') execFileSync('qemu-img', ['check', '-q', path]);
    expect(statSync(path).blocks * 512).toBeLessThan(64 * 1024);
    if (bytes > GIB / 4) execFileSync('qemu-io', ['-f', format, '-c', `write -P 5 ${GIB / 2} 512`, path]);
    if (format === 'qcow2') execFileSync('qemu-img', ['check', '-q', path]);
  });

  test('is never made over what is there', () => {
    using directory = new TempDirectory();
    const path = directory.join('old');
    writeFileSync(path, 'mine');
    expect(() => createImage('d', path, 'raw', 512)).toThrow(/EEXIST/);
    expect(readFileSync(path, 'utf8')).toBe('mine');
  });
});

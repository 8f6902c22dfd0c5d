/** The block server in its thread, called from another one; and under TLS. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { requireCapability } from '../../../test/support/capability.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { waitUntil } from '../../../test/support/wait-until.ts';
import { DiskServerThread } from './disk-server-thread.ts';
import type { ServerEvent } from './nbd-server.ts';

const execute = promisify(execFile);
const MIB = 2 ** 20;
const OPTIONS = { isReadOnly: false, isRaw: true, generation: 1 };

/** Commands of qemu-io. */
function io(uri: string, ...commands: readonly string[]): Promise<unknown> {
  return execute('qemu-io', ['-f', 'raw', uri, ...commands.flatMap((each) => ['-c', each])], { timeout: 30_000 });
}

requireCapability('kernel', 'nbdClients')('the block server in its thread', () => {
  test('opens, exports, holds, cancels, reopens, fences, collects and closes', async () => {
    using directory = new TempDirectory();
    const [image, socket] = [directory.join('image'), directory.join('s')];
    writeFileSync(image, Buffer.alloc(4 * MIB));
    const events: ServerEvent[] = [];
    await using thread = new DiskServerThread(undefined, (event) => events.push(event));
    await thread.listen({ path: socket });
    expect(await thread.openDisk('vda', { ...OPTIONS, path: image })).toBe(4 * MIB);
    await thread.addExport('old', 'vda', 1);
    await thread.addExport('new', 'vda', 2);
    await thread.trackWrites('vda');
    const uri = (name: string): string => `nbd+unix:///${name}?socket=${socket}`;

    await thread.hold('vda', ['write']);
    const held = expect(io(uri('old'), 'write -P 1 0 4k')).rejects.toMatchObject({
      stdout: expect.stringContaining('Input/output error'),
    });
    await waitUntil('it is held', async () => (await thread.requests('vda')).length === 1);
    expect(await thread.clients()).toMatchObject([{ exportName: 'old', generation: 1, openRequests: 1 }]);
    expect(await thread.cancel('vda', 1)).toBe(1);
    await held;
    await thread.hold('vda', []);
    await thread.reopen('vda', 1);
    await io(uri('old'), 'write -P 2 1M 4k');
    await thread.fence('vda', 2);
    await expect(io(uri('old'), 'write -P 3 1M 4k')).rejects.toThrow();
    await io(uri('new'), 'write -P 4 2M 4k', 'read -P 2 1M 4k');
    expect(await thread.collectDirty('vda')).toEqual({
      changing: 0,
      ranges: [
        { offset: MIB, bytes: 65536 },
        { offset: 2 * MIB, bytes: 65536 },
      ],
    });
    await waitUntil('all have gone', () => events.filter(({ kind }) => kind === 'clientWent').length === 4);
    await thread.closeDisk('vda');
    await expect(thread.requests('vda')).rejects.toThrow(/no served disk named vda/);
    await expect(io(uri('new'), 'read 0 4k')).rejects.toThrow();
  });

  test('what it cannot serve is refused by the caller, too', async () => {
    using directory = new TempDirectory();
    const path = directory.join('image.qcow2');
    await execute('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    await using thread = new DiskServerThread(undefined, () => undefined);
    await expect(thread.openDisk('vda', { ...OPTIONS, isRaw: false, path })).rejects.toThrow(
      /qcow2 image, and only raw/,
    );
  });

  test('with a certificate it speaks TLS, and nothing without', async () => {
    using directory = new TempDirectory();
    const [image, socket] = [directory.join('image'), directory.join('s')];
    writeFileSync(image, Buffer.alloc(MIB, 7));
    const [key, cert] = [directory.join('key.pem'), directory.join('cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert];
    await execute('openssl', ['req', '-x509', ...made, '-days', '2', ...subject]);
    writeFileSync(directory.join('ca-cert.pem'), readFileSync(cert));
    await using thread = new DiskServerThread({ cert: readFileSync(cert), key: readFileSync(key) }, () => undefined);
    await thread.listen({ path: socket });
    await thread.openDisk('vda', { ...OPTIONS, path: image });
    await thread.addExport('vda', 'vda', 1);
    const secure = `nbds+unix://localhost/vda?socket=${socket}&tls-certificates=${directory.path}`;
    const copy = directory.join('copy');
    await execute('nbdcopy', [secure, copy], { timeout: 30_000 });
    expect(Buffer.compare(readFileSync(copy), readFileSync(image))).toBe(0);
    await expect(execute('nbdinfo', [`nbd+unix:///vda?socket=${socket}`])).rejects.toThrow(
      /opt_go request: Operation not supported/,
    );
  });
});

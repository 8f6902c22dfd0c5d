/** The block server as real clients see it; and under TLS. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { requireCapability } from '../../../test/support/capability.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { waitUntil } from '../../../test/support/wait-until.ts';
import { certifyHost, createAuthority, validityOf } from '../../tls/authority.ts';
import { readTlsDirectory } from '../../tls/tls-directory.ts';
import { DiskServing } from './disk-serving.ts';
import type { ServerEvent } from './nbd-server.ts';

const execute = promisify(execFile);
const MIB = 2 ** 20;
const OPTIONS = { isReadOnly: false, isRaw: true, generation: 1 };

/** Commands of qemu-io. */
function io(uri: string, ...commands: readonly string[]): Promise<unknown> {
  return execute('qemu-io', ['-f', 'raw', uri, ...commands.flatMap((each) => ['-c', each])], { timeout: 30_000 });
}

requireCapability('kernel', 'nbdClients')('the block server and real clients', () => {
  test('opens, exports, holds, cancels, reopens, fences, collects and closes', async () => {
    using directory = new TempDirectory();
    const [image, socket] = [directory.join('image'), directory.join('s')];
    writeFileSync(image, Buffer.alloc(4 * MIB));
    const events: ServerEvent[] = [];
    await using serving = new DiskServing(undefined, (event) => events.push(event));
    await serving.listen({ path: socket });
    expect(await serving.openDisk('vda', { ...OPTIONS, path: image })).toBe(4 * MIB);
    await serving.addExport('old', 'vda', 1);
    await serving.addExport('new', 'vda', 2);
    await serving.trackWrites('vda');
    const uri = (name: string): string => `nbd+unix:///${name}?socket=${socket}`;

    await serving.hold('vda', ['write']);
    const held = expect(io(uri('old'), 'write -P 1 0 4k')).rejects.toMatchObject({
      stdout: expect.stringContaining('Input/output error'),
    });
    await waitUntil('it is held', async () => (await serving.requests('vda')).length === 1);
    expect(await serving.clients()).toMatchObject([{ exportName: 'old', generation: 1, openRequests: 1 }]);
    expect(await serving.cancel('vda', 1)).toEqual({ answered: 1, kept: 0 });
    await held;
    await serving.hold('vda', []);
    await serving.reopen('vda', 1);
    await io(uri('old'), 'write -P 2 1M 4k');
    await serving.fence('vda', 2);
    await expect(io(uri('old'), 'write -P 3 1M 4k')).rejects.toThrow();
    await io(uri('new'), 'write -P 4 2M 4k', 'read -P 2 1M 4k');
    expect(await serving.collectDirty('vda')).toEqual({
      changing: 0,
      isAll: true,
      ranges: [
        { offset: MIB, bytes: 65536 },
        { offset: 2 * MIB, bytes: 65536 },
      ],
    });
    await waitUntil('all have gone', () => events.filter(({ kind }) => kind === 'clientWent').length === 4);
    await serving.closeDisk('vda');
    await expect(serving.requests('vda')).rejects.toThrow(/no served disk named vda/);
    await expect(io(uri('new'), 'read 0 4k')).rejects.toThrow();
  });

  test('what it cannot serve is refused by the caller, too', async () => {
    using directory = new TempDirectory();
    const path = directory.join('image.qcow2');
    await execute('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    await using serving = new DiskServing(undefined, () => undefined);
    await expect(serving.openDisk('vda', { ...OPTIONS, isRaw: false, path })).rejects.toThrow(
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
    await using serving = new DiskServing({ cert: readFileSync(cert), key: readFileSync(key) }, () => undefined);
    await serving.listen({ path: socket });
    await serving.openDisk('vda', { ...OPTIONS, path: image });
    await serving.addExport('vda', 'vda', 1);
    const secure = `nbds+unix://localhost/vda?socket=${socket}&tls-certificates=${directory.path}`;
    const copy = directory.join('copy');
    await execute('nbdcopy', [secure, copy], { timeout: 30_000 });
    expect(Buffer.compare(readFileSync(copy), readFileSync(image))).toBe(0);
    await expect(execute('nbdinfo', [`nbd+unix:///vda?socket=${socket}`])).rejects.toThrow(
      /opt_go request: Operation not supported/,
    );
  });

  test('with an authority only clients with a certificate of it are served', async () => {
    using directory = new TempDirectory();
    const [image, socket] = [directory.join('image'), directory.join('s')];
    writeFileSync(image, Buffer.alloc(MIB, 7));
    const strangers: (string | undefined)[] = [];
    const clients = await Promise.all(
      ['ours', 'theirs'].map(async (name) => {
        const authority = directory.join(name);
        await createAuthority(authority);
        const { directory: place } = await certifyHost(authority, { name: 'localhost', addresses: [] }, validityOf(2));
        return { place, ...readTlsDirectory(place) };
      }),
    );
    const [ours, theirs] = clients as [(typeof clients)[0], (typeof clients)[0]];
    await using serving = new DiskServing({ ca: ours.ca, cert: ours.certificate, key: ours.key }, (event) => {
      if (event.kind === 'strangerCutOff') strangers.push(event.reason);
    });
    await serving.listen({ path: socket });
    await serving.openDisk('vda', { ...OPTIONS, path: image });
    await serving.addExport('vda', 'vda', 1);
    /** As libnbd has its files. */
    const ask = (shown: { certificate: string; key: string } | undefined): Promise<unknown> => {
      writeFileSync(directory.join('ca-cert.pem'), ours.ca);
      for (const name of ['client-cert.pem', 'client-key.pem']) rmSync(directory.join(name), { force: true });
      if (shown) {
        writeFileSync(directory.join('client-cert.pem'), shown.certificate);
        writeFileSync(directory.join('client-key.pem'), shown.key);
      }
      const uri = `nbds+unix://localhost/vda?socket=${socket}&tls-certificates=${directory.path}`;
      return execute('nbdinfo', ['--size', uri], { timeout: 30_000 });
    };
    expect(await ask(ours)).toMatchObject({ stdout: `${MIB}\n` });
    expect(strangers).toEqual([]);
    await expect(ask(theirs)).rejects.toThrow();
    await expect(ask(undefined)).rejects.toThrow();
    expect(strangers).toHaveLength(2);
  });
});

/** `godwit disk serve`, as a user runs it. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { requireCapability } from './support/capability.ts';
import { collectOutput, runCli, spawnGodwit } from './support/godwit-cli.ts';
import { TempDirectory } from './support/temp-directory.ts';
import { waitUntil, within } from './support/wait-until.ts';

const execute = promisify(execFile);

requireCapability('kernel', 'nbdClients')('godwit disk serve', () => {
  test('says where, tells what its clients have asked for, and ends when it is told to', async () => {
    using directory = new TempDirectory();
    const image = directory.join('image');
    writeFileSync(image, Buffer.alloc(65536, 5));
    const child = spawnGodwit(['disk', 'serve', image, '--listen', '127.0.0.1:0', '--export', 'web 1', '--json']);
    using _ = { [Symbol.dispose]: () => void child.kill('SIGKILL') };
    const output = collectOutput(child);
    const { uri, bytes } = await waitUntil('it is ready', () => parse(output().stdout));
    expect(bytes).toBe(65536);
    const reading = execFile('qemu-io', ['-f', 'raw', '-r', uri, '-c', 'read -P 5 0 64k', '-c', 'sleep 60000']);
    await waitUntil('it has come', () => output().stderr.includes('"clientCame"'));
    await waitUntil('it is counted', () => {
      child.kill('SIGUSR1');
      return /"requests":[1-9]\d*,"failed":0,"readBytes":\d{5}/.test(output().stderr);
    });
    child.kill('SIGTERM');
    expect(await within('it ends', once(child, 'exit'))).toEqual([0, null]);
    reading.kill('SIGKILL');
    expect(output().stderr).toContain('"clientWent"');
  });

  test('a second one on the image is told who has it; one that follows a killed one takes its socket', async () => {
    using directory = new TempDirectory();
    const image = directory.join('image');
    writeFileSync(image, Buffer.alloc(65536, 5));
    const words = ['disk', 'serve', image, '--json', '--socket'];
    const [first, left] = [spawnGodwit([...words, directory.join('first')]), directory.join('first')];
    using _ = { [Symbol.dispose]: () => void first.kill('SIGKILL') };
    const said = collectOutput(first);
    await waitUntil('it is ready', () => parse(said().stdout));
    const { status, json } = await runCli([...words, directory.join('second')]);
    expect(status).toBe(2);
    expect(json.error).toMatchObject({
      code: 'GW_DISK_UNUSABLE',
      message: expect.stringContaining(`locked by process ${first.pid} (`),
    });
    first.kill('SIGKILL');
    await within('it ends', once(first, 'exit'));
    expect(existsSync(left)).toBe(true);
    const next = spawnGodwit([...words, left]);
    using __ = { [Symbol.dispose]: () => void next.kill('SIGKILL') };
    const output = collectOutput(next);
    await waitUntil('the next one is ready', () => parse(output().stdout));
  });

  test('an image in a format is refused', async () => {
    using directory = new TempDirectory();
    const image = directory.join('image');
    await execute('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
    const { status, json } = await runCli(['disk', 'serve', image, '--socket', directory.join('s'), '--json']);
    expect(status).toBe(2);
    expect(json.error).toMatchObject({ code: 'GW_DISK_UNUSABLE', message: expect.stringContaining('--raw') });
  });

  test('an address that others reach needs TLS, or to be insecure', async () => {
    using directory = new TempDirectory();
    const image = directory.join('image');
    writeFileSync(image, Buffer.alloc(512));
    const { status, stderr } = await runCli(['disk', 'serve', image, '--listen', '0.0.0.0:0']);
    expect(status).toBe(2);
    expect(stderr).toContain('--tls-certificate');
  });
});

function parse(text: string): { uri: string; bytes: number } | undefined {
  return text.endsWith('}\n') ? (JSON.parse(text) as { uri: string; bytes: number }) : undefined;
}

/** The block server of a VM in its own process, as a host has it. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NbdClient } from '../../../test/support/nbd-client.ts';
import { TempDirectory } from '../../../test/support/temp-directory.ts';
import { waitUntil } from '../../../test/support/wait-until.ts';
import { identifyProcess, isAlive, signalProcess, waitForExit } from '../../linux/process.ts';
import { DiskServerClient } from './control-client.ts';
import { diskServerPaths, readDiskServerRecord } from './disk-server-record.ts';
import { VmDiskServer } from './vm-disk-server.ts';

const MIB = 2 ** 20;

interface Desk extends AsyncDisposable {
  readonly directory: string;
  readonly image: string;
  readonly server: VmDiskServer;
  /** Further words to it. */
  readonly control: DiskServerClient;
}

async function openDesk(): Promise<Desk> {
  const directory = new TempDirectory();
  const image = directory.join('image');
  writeFileSync(image, Buffer.alloc(MIB));
  const server = await VmDiskServer.start(directory.path, [{ name: 'disk0', path: image, isReadOnly: false }]);
  const control = await DiskServerClient.connect(diskServerPaths(directory.path).controlSocket);
  const close = async (): Promise<void> => {
    control[Symbol.dispose]();
    await (await VmDiskServer.find(directory.path))?.end();
    await server.end();
    directory[Symbol.dispose]();
  };
  return { directory: directory.path, image, server, control, [Symbol.asyncDispose]: close };
}

const BLOCK = Buffer.alloc(4096, 1);

let desk: Desk;

beforeAll(async () => {
  desk = await openDesk();
});

afterAll(() => desk[Symbol.asyncDispose]());

test('changes wait until the VM is admitted; reads do not', async () => {
  using client = await NbdClient.open(desk.server.nbdSocket, 'disk0');
  expect((await client.read(0, 4096)).error).toBe(0);
  const write = client.write(0, BLOCK);
  await waitUntil('it waits', async () => (await desk.server.status()).disks[0]!.waiting === 1);
  expect(await desk.server.status()).toMatchObject({ turn: 'waiting' });
  await desk.server.admit();
  expect((await write).error).toBe(0);
});

test('a cancel answers what is held; sealed it changes nothing; admitted again it goes on', async () => {
  const { server, control, image } = desk;
  await server.admit();
  using client = await NbdClient.open(server.nbdSocket, 'disk0');
  await control.call('hold', { commands: ['write', 'trim'] });
  const [write, trim] = [client.write(0, BLOCK), client.ask(4, MIB / 2, 4096)];
  await waitUntil('both are held', async () => (await server.status()).disks[0]!.waiting === 2);
  expect(await server.cancel()).toEqual([{ disk: 'disk0', cancelled: 1, completed: 1 }]);
  expect([(await write).error, (await trim).error]).toEqual([5, 0]);
  await server.seal();
  expect(await server.status()).toMatchObject({ turn: 'sealed' });
  expect((await client.ask(3, 0, 0)).error).toBe(0);
  await control.call('hold', { commands: [] });
  const zeroes = client.ask(6, 0, 4096);
  await waitUntil('it waits', async () => (await server.status()).disks[0]!.waiting === 1);
  await server.admit();
  expect((await zeroes).error).toBe(0);
  expect((await client.write(0, BLOCK)).error).toBe(0);
  expect(readFileSync(image)[0]).toBe(1);
});

test('what the storage has already is answered at once, and waited for by the seal', async () => {
  const { server, control, image } = desk;
  await server.admit();
  using client = await NbdClient.open(server.nbdSocket, 'disk0');
  await control.call('stall', { commands: ['write'] });
  const write = client.write(0, BLOCK);
  await waitUntil('the storage has it', async () => (await server.status()).disks[0]!.running === 1);
  await server.cancel();
  expect((await write).error).toBe(5);
  let isSealed = false;
  const sealing = server.seal().then(() => {
    isSealed = true;
  });
  expect(await server.status()).toMatchObject({ turn: 'cancelled', disks: [{ running: 1 }] });
  expect(isSealed).toBe(false);
  await control.call('stall', { commands: [] });
  await sealing;
  expect(readFileSync(image)[0]).toBe(1);
});

test('two servers on one image are never both admitted: the first one gives it up when it is sealed, and takes it back', async () => {
  await using own = await openDesk();
  using other = new TempDirectory();
  const { server } = own;
  await server.admit();
  const next = await VmDiskServer.start(other.path, server.disks);
  try {
    await expect(next.admit()).rejects.toThrow(`is locked by process ${server.process.pid} (`);
    expect(await next.status()).toMatchObject({ turn: 'waiting' });
    await server.seal();
    await next.admit();
    await expect(server.admit()).rejects.toThrow(`is locked by process ${next.process.pid} (`);
    expect(await server.status()).toMatchObject({ turn: 'sealed' });
    await next.seal();
    await server.admit();
    using client = await NbdClient.open(server.nbdSocket, 'disk0');
    expect((await client.write(0, BLOCK)).error).toBe(0);
    await expect(next.admit()).rejects.toMatchObject({ code: 'GW_DISK_UNUSABLE' });
  } finally {
    await next.end();
  }
});

test('a seal that is taken back while it waits gives up nothing', async () => {
  await using own = await openDesk();
  const { server, control } = own;
  await server.admit();
  using client = await NbdClient.open(server.nbdSocket, 'disk0');
  await control.call('stall', { commands: ['write'] });
  const write = client.write(0, BLOCK);
  await waitUntil('the storage has it', async () => (await server.status()).disks[0]!.running === 1);
  const sealing = server.seal();
  expect((await write).error).toBe(5);
  await server.admit();
  await sealing;
  await control.call('stall', { commands: [] });
  expect(await server.status()).toMatchObject({ turn: 'open' });
  using other = new TempDirectory();
  const next = await VmDiskServer.start(other.path, server.disks);
  await expect(next.admit()).rejects.toThrow('is locked by');
  await next.end();
});

test('it is found again, and one that was killed is followed by another at the same sockets', async () => {
  await using own = await openDesk();
  using found = await VmDiskServer.find(own.directory);
  expect(found?.process).toEqual(own.server.process);
  signalProcess(own.server.process, 'SIGKILL');
  await waitForExit(own.server.process);
  expect((await own.server.closed).message).toContain('its process has ended');
  expect(await VmDiskServer.find(own.directory)).toBeUndefined();
  const { disks } = readDiskServerRecord(own.directory)!;
  const next = await VmDiskServer.start(own.directory, disks);
  await next.admit();
  using client = await NbdClient.open(next.nbdSocket, 'disk0');
  expect((await client.write(0, BLOCK)).error).toBe(0);

  // And it ends with the QEMU that it guards.
  const qemu = spawn('sleep', ['60']);
  await next.guard(identifyProcess(qemu.pid!)!);
  qemu.kill('SIGKILL');
  await waitForExit(next.process);
});

test('there is no second one beside one that lives', async () => {
  await expect(VmDiskServer.start(desk.directory, desk.server.disks)).rejects.toThrow(/serves them already/);
  expect(isAlive(desk.server.process)).toBe(true);
  expect((await desk.server.status()).disks).toHaveLength(1);
});

test('what is no call is answered as such, and what is no line ends the connection only', async () => {
  await expect(desk.control.call('track', { disk: 'other' })).rejects.toThrow(/no served disk named other/);
  await expect(desk.control.call('collect', { disk: 'disk0' })).rejects.toThrow(/not tracked/);
  await expect(desk.control.call('hold', { commands: ['rm' as 'read'] })).rejects.toThrow();
  const stranger = connect(diskServerPaths(desk.directory).controlSocket);
  stranger.on('error', () => undefined);
  stranger.write('x'.repeat(2 * MIB));
  await new Promise((resolve) => stranger.once('close', resolve));
  expect((await desk.server.status()).disks).toHaveLength(1);
});

test('written blocks are collected', async () => {
  const { server, control } = desk;
  await server.admit();
  await control.call('track', { disk: 'disk0' });
  using client = await NbdClient.open(server.nbdSocket, 'disk0');
  await client.write(65536, BLOCK);
  const ranges = [{ offset: 65536, bytes: 65536 }];
  expect(await control.call('collect', { disk: 'disk0' })).toEqual({ ranges, isAll: true, changing: 0 });
  await control.call('untrack', { disk: 'disk0' });
});

test('an image that cannot be served is refused before anything is started', async () => {
  using directory = new TempDirectory();
  const disks = [{ name: 'disk0', path: directory.join('none'), isReadOnly: false }];
  await expect(VmDiskServer.start(directory.path, disks)).rejects.toMatchObject({ code: 'GW_DISK_UNUSABLE' });
  expect(existsSync(diskServerPaths(directory.path).record)).toBe(false);
});

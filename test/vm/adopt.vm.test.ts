/** QEMUs that somebody else started: adopted, moved and moved back, or refused with what must be changed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildTinyGuest } from '../../guest/tiny/image.ts';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { identifyProcess, signalProcess, waitForExit } from '../../src/linux/process.ts';
import { requireCapability, TEST_QEMU } from '../support/capability.ts';
import { completedReport, HostPair, isFree } from '../support/host-pair.ts';
import { worksIntact } from '../support/intact-vm.ts';
import { checkLeaks, markChildren } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { listMarks, nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

/** A QEMU that a person started in a shell. */
class HandStartedQemu implements AsyncDisposable {
  readonly pid: number;
  readonly qmpPath: string;
  readonly directory: TempDirectory;
  readonly #ramPaths: readonly string[];

  private constructor(pid: number, qmpPath: string, directory: TempDirectory, ramPaths: readonly string[]) {
    this.pid = pid;
    this.qmpPath = qmpPath;
    this.directory = directory;
    this.#ramPaths = ramPaths;
  }

  /** @param memory - arguments that give it 64 MiB of RAM */
  static async start(memory: readonly string[]): Promise<HandStartedQemu> {
    markChildren();
    const directory = new TempDirectory();
    const firmware = directory.join('tiny.bin');
    const range = { firstPage: FIRST_USABLE_PAGE, pageCount: 2048, restMicroseconds: 500, restPages: 16 };
    writeFileSync(firmware, buildTinyGuest({ mode: 'prot32', ...range, heartbeatPasses: 10 }));
    const qmpPath = directory.join('qmp.sock');
    const args = [
      ...[
        '-accel',
        'tcg',
        '-m',
        '64M',
        ...memory,
        '-bios',
        `./${basename(firmware)}`,
        '-display',
        'none',
        '-serial',
        'null',
      ],
      ...['-qmp', `unix:${qmpPath},server=on,wait=off`],
    ];
    // Not a child of ours, as it would not be one of the daemon's; somewhere else than the daemons, with a relative path.
    const shell = spawn('sh', ['-c', 'setsid "$0" "$@" >/dev/null 2>&1 & echo $!', TEST_QEMU, ...args], {
      cwd: directory.path,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    shell.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await once(shell, 'close');
    await waitUntil('QEMU listens', () => existsSync(qmpPath));
    const ramPaths = memory.flatMap((argument) => /mem-path=([^,]+)/.exec(argument)?.[1] ?? []);
    return new HandStartedQemu(Number(output), qmpPath, directory, ramPaths);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const identity = identifyProcess(this.pid);
    if (identity) {
      signalProcess(identity, 'SIGKILL');
      await waitForExit(identity, { timeoutMs: 5000 });
    }
    // Who gives QEMU a file for its RAM also removes it.
    for (const path of this.#ramPaths) rmSync(path, { force: true });
    this.directory[Symbol.dispose]();
  }
}

function sharedFile(name: string): string[] {
  const path = `/dev/shm/gwt-${process.pid}-${name}`;
  return [
    ...['-object', `memory-backend-file,id=ram0,size=64M,mem-path=${path},share=on,discard-data=on`],
    ...['-machine', 'q35,memory-backend=ram0'],
  ];
}

let pair: HostPair;

requireCapability('vm')('adopting', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('a QEMU with shared RAM is adopted, moves away, and comes back', async () => {
    const name = 'by-hand';
    await using qemu = await HandStartedQemu.start(sharedFile(name));
    const adopt = ['vm', 'adopt', name, '--pid', String(qemu.pid), '--qmp', qemu.qmpPath];
    const adopted = await pair.a.host.json(adopt);
    expect(adopted).toMatchObject({ name, adopted: true, state: 'running', pid: qemu.pid });
    expect(adopted.notes).toEqual([expect.stringMatching(/its memory is the file .*, which .* stays/)]);
    const check = await pair.a.host.json(['check', name, '--to', pair.b.host.migration]);
    expect(check).toMatchObject({ ok: true, blockers: [] });

    for (const mode of ['pre-copy', 'post-copy', 'hybrid'] as const) {
      const { other } = await pair.locate(name);
      const report = completedReport(await pair.move(name, { mode, verify: true }));
      expect(report.verify).toMatchObject({ equal: true });
      const { pid, adopted: stillAdopted } = await isFree(other, name);
      // What runs there is godwit's own.
      expect(stillAdopted).toBe(false);
      expect(listMarks(pid!)).toEqual([]);
      await worksIntact(other, name);
    }
    // The one that was adopted has ended, and what its owner made for it is still there.
    expect(identifyProcess(qemu.pid)).toBeUndefined();
    expect(existsSync(qemu.directory.join('tiny.bin'))).toBe(true);
    await nothingRemains(pair.a, name);
    await pair.b.client.actOnVm(name, 'kill');
    await pair.b.client.removeVm(name);
  });

  test('a QEMU with shared RAM is replaced by one of godwit, on the same memory', async () => {
    const name = 'replaced';
    await using qemu = await HandStartedQemu.start(sharedFile(name));
    await pair.a.client.adoptVm({ name, pid: qemu.pid, qmp: qemu.qmpPath });
    const { pid, ...report } = await pair.a.client.upgradeVm(name);
    expect(report).toMatchObject({ state: 'running', wasRunning: true, downtimeMs: expect.any(Number) });
    expect(identifyProcess(qemu.pid)).toBeUndefined();
    expect(await isFree(pair.a, name)).toMatchObject({ pid, adopted: false, state: 'running' });
    await worksIntact(pair.a, name);
    await pair.a.client.actOnVm(name, 'kill');
    await pair.a.client.removeVm(name);
  });

  test('a process that is not the QEMU behind the socket is refused', async () => {
    await using qemu = await HandStartedQemu.start(sharedFile('one'));
    await using other = await HandStartedQemu.start(sharedFile('two'));
    for (const pid of [process.pid, other.pid]) {
      const adopt = ['vm', 'adopt', 'mixed', '--pid', String(pid), '--qmp', qemu.qmpPath];
      const { status, stderr } = await pair.a.host.cli(adopt);
      expect(stderr).toContain(`pid: ${pid} is not valid: give the process id of the QEMU behind ${qemu.qmpPath}`);
      expect(status).toBe(2);
    }
    expect(await pair.a.client.listVms()).toEqual([]);
  });

  test('private RAM is refused with the fix, and the VM runs on', async () => {
    const name = 'private';
    await using qemu = await HandStartedQemu.start([]);
    const adopted = await pair.a.client.adoptVm({ name, pid: qemu.pid, qmp: qemu.qmpPath });
    expect(adopted.notes.join()).toMatch(/private.*memory-backend-file.*share=on/);
    const check = await pair.a.host.cli(['check', name, '--to', pair.b.host.migration, '--json']);
    expect(check).toMatchObject({ status: 3, json: { ok: false } });
    expect(check.json.blockers).toEqual(
      expect.arrayContaining([expect.objectContaining({ fix: expect.stringContaining('memory-backend-file') })]),
    );
    const migrate = await pair.a.host.cli(['migrate', name, '--to', pair.b.host.migration, '--json']);
    expect(migrate).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
    expect(migrate.json.error.message).toContain('memory-backend-file');
    expect(await isFree(pair.a, name)).toMatchObject({ state: 'running', pid: qemu.pid });
    await nothingRemains(pair.b, name);
    await pair.a.client.actOnVm(name, 'kill');
    await pair.a.client.removeVm(name);
  });

  test('RAM in a memfd moves or is refused, depending on QEMU, and never moves wrongly', async () => {
    const name = 'memfd';
    const backend = [
      '-object',
      'memory-backend-memfd,id=ram0,size=64M,share=on',
      '-machine',
      'q35,memory-backend=ram0',
    ];
    await using qemu = await HandStartedQemu.start(backend);
    const adopted = await pair.a.client.adoptVm({ name, pid: qemu.pid, qmp: qemu.qmpPath });
    const { facts } = await pair.a.client.check(name, pair.b.host.migration);
    const [major = 0, minor = 0] = String(facts['qemuVersion']).split('.').map(Number);
    if (major > 8 || (major === 8 && minor >= 1)) {
      expect(adopted.notes.join()).toMatch(/memfd/);
    } else {
      const report = completedReport(await pair.move(name, { verify: true }));
      expect(report.verify).toMatchObject({ equal: true });
    }
    const { at } = await pair.locate(name);
    await worksIntact(at, name);
    await at.client.actOnVm(name, 'kill');
    await at.client.removeVm(name);
  });
});

import { truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { buildTinyGuest } from '../../guest/tiny/image.ts';
import { requireCapability, TEST_QEMU } from '../../test/support/capability.ts';
import { IncomingQemu } from '../../test/support/incoming-qemu.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { savedState } from '../../test/support/saved-state.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from '../../test/support/temp-directory.ts';
import { TinyGuestView } from '../../test/support/tiny-guest-view.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { hasCode } from '../base/errors.ts';
import { listThreads } from '../linux/process.ts';
import { probeQemuBinary } from './binary.ts';
import { loadDeviceState } from './device-state-load.ts';
import { compareVms, findBinaryBlockers, findFitBlockers, visibleMachine } from './fit.ts';
import { borrowMigrationSettings } from './migration-settings.ts';
import { findBinary, killQemu, type StartedQemu, startQemu } from './process.ts';
import { findGuestRam } from './ram.ts';
import { contVm } from './run-state.ts';
import { surveyVm } from './survey.ts';

const describe = requireCapability('vm');
const RAM_BYTES = 64 * 2 ** 20;
const MEMFD_MOVES = /^[4-7]\.|^8\.0/.test(await qemuVersion());

/** A tiny guest in a QEMU that somebody else started in his own way. */
class ForeignVm implements AsyncDisposable {
  readonly directory: TempDirectory;
  readonly started: StartedQemu;

  private constructor(directory: TempDirectory, started: StartedQemu) {
    this.directory = directory;
    this.started = started;
  }

  static async start(args: (directory: TempDirectory) => string): Promise<ForeignVm> {
    const directory = new TempDirectory();
    writeFileSync(directory.join('tiny.bin'), buildTinyGuest({ mode: 'prot32', firstPage: 256, pageCount: 1024 }));
    writeFileSync(directory.join('disk.img'), '');
    truncateSync(directory.join('disk.img'), 2 ** 20);
    const qmpPath = directory.join('their.qmp');
    const words = `${args(directory)} -bios ${directory.join('tiny.bin')} -qmp unix:${qmpPath},server,nowait`.split(
      ' ',
    );
    const logPath = directory.join('their.log');
    const ramPaths = [`${SHARED_MEMORY_PREFIX}${basename(directory.path)}`];
    try {
      const started = await startQemu({ binary: TEST_QEMU, args: words, logPath, qmpPath, ramPaths });
      return new ForeignVm(directory, started);
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.started.qmp.close();
    await killQemu(this.started.identity);
    this.directory[Symbol.dispose]();
  }
}

describe('a survey', () => {
  checkLeaks();

  test('of a VM of our own finds what it is and nothing in the way', async () => {
    await using vm = await startTinyVm({ vcpus: 2 });
    const { facts, blockers, args, workingDirectory } = await surveyVm(vm.qmp, vm.pid);
    expect(facts).toMatchObject({ accel: 'tcg', cpuModel: 'qemu64', status: 'running', name: 'tiny', disks: [] });
    expect(facts.machineType).toMatch(/^pc-q35-\d+\.\d+$/);
    expect(facts.cpuFeatures.length).toBeGreaterThan(2);
    const vcpus = listThreads(vm.pid).filter(({ name }) => name.startsWith('CPU '));
    expect(facts.vcpuTids.toSorted()).toEqual(vcpus.map(({ tid }) => tid).toSorted());
    expect(args).toEqual(vm.args);
    expect(workingDirectory).toBe('/');
    expect(blockers).toEqual([]);
  });

  test('finds a device that was plugged in later', async () => {
    await using vm = await startTinyVm({ machine: 'pc' });
    // A guest that never waits keeps QEMU's TCG from finishing device_add.
    await vm.qmp.execute('stop');
    await vm.qmp.execute('device_add', { driver: 'virtio-rng-pci', id: 'late' });
    const { blockers } = await surveyVm(vm.qmp, vm.pid);
    expect(blockers).toMatchObject([{ id: 'hot-plugged', what: 'late' }]);
  });

  test('tells memory of an ivshmem device from the RAM, private or not', async () => {
    const shared = ['-object', 'memory-backend-ram,id=shared,size=1M,share=on'];
    await using vm = await startTinyVm({ qemuArgs: [...shared, '-device', 'ivshmem-plain,memdev=shared,id=iv'] });
    const { blockers, ram, regions } = await surveyVm(vm.qmp, vm.pid);
    expect(blockers.map(({ id }) => id)).toEqual(['ivshmem-private', 'qemu-refuses']);
    expect([ram.map(({ id }) => id), regions]).toEqual([['ram0'], []]);
  });

  test('finds a region of the size of the RAM, and that QEMU refuses a peer', async () => {
    using directory = new TempDirectory('/dev/shm');
    const path = directory.join('their bus');
    const object = `memory-backend-file,id=shm0,size=64M,mem-path=${path},share=on`;
    await using vm = await startTinyVm({ qemuArgs: ['-object', object, '-device', 'ivshmem-plain,memdev=shm0'] });
    const { blockers, ram, regions } = await surveyVm(vm.qmp, vm.pid);
    expect(blockers.map(({ id, what }) => [id, what])).toEqual([
      ['ivshmem-peer', 'ivshmem-plain'],
      ['qemu-refuses', expect.stringContaining('peer mode')],
    ]);
    expect(ram.map(({ id }) => id)).toEqual(['ram0']);
    expect(regions).toMatchObject([{ id: 'shm0', name: 'their_bus', bytes: RAM_BYTES, path }]);
    expect(regions[0]!.hostAddress).not.toBe(ram[0]!.place!.hostAddress);
  });

  test('finds a region in a file on a disk', async () => {
    using directory = new TempDirectory();
    const object = `memory-backend-file,id=shm0,size=1M,mem-path=${directory.join('bus')},share=on`;
    await using vm = await startTinyVm({
      qemuArgs: ['-object', object, '-device', 'ivshmem-plain,memdev=shm0,master=on'],
    });
    const { blockers } = await surveyVm(vm.qmp, vm.pid);
    expect(blockers.map(({ id, what }) => [id, what])).toEqual([['ivshmem-file', 'ivshmem-plain']]);
  });

  test('finds RAM in a file on a disk', async () => {
    await using vm = await ForeignVm.start(
      (directory) =>
        '-M q35,memory-backend=m -m 64 -display none -nodefaults ' +
        `-object memory-backend-file,id=m,size=64M,mem-path=${directory.join('ram')},share=on`,
    );
    const { blockers } = await surveyVm(vm.started.qmp, vm.started.identity.pid);
    expect(blockers).toMatchObject([{ id: 'ram-on-disk', what: 'm' }]);
  });

  test('finds a snapshot and an unsafe cache', async () => {
    await using vm = await ForeignVm.start(
      (directory) =>
        `-M q35 -m 64 -display none -nodefaults -snapshot -drive if=virtio,file=${directory.join('disk.img')},format=raw`,
    );
    const { blockers } = await surveyVm(vm.started.qmp, vm.started.identity.pid);
    expect(blockers.map(({ id }) => id)).toEqual(['private-ram', 'snapshot', 'unsafe-cache']);
  });
});

/** libvirt takes a memfd where it is asked for one; from QEMU 8.1 on that blocks, so it must be asked for a file. */
function libvirtRam(directory: TempDirectory): string {
  const file = { 'qom-type': 'memory-backend-file', 'mem-path': `${SHARED_MEMORY_PREFIX}${basename(directory.path)}` };
  const backend = MEMFD_MOVES ? { 'qom-type': 'memory-backend-memfd' } : file;
  return JSON.stringify({ ...backend, id: 'pc.ram', share: true, size: RAM_BYTES });
}

describe("somebody else's VM", () => {
  checkLeaks();

  const styles: [string, (directory: TempDirectory) => string][] = [
    [
      'on a terminal, with default devices, network and disk',
      (directory) =>
        `-name web -nographic -M q35,accel=tcg,memory-backend=m -m 64 -object memory-backend-file,id=m,size=64M,` +
        `mem-path=${SHARED_MEMORY_PREFIX}${basename(directory.path)},share=on,prealloc=on -monitor none -pidfile ${directory.join('pid')} ` +
        `-D ${directory.join('their-debug.log')} -netdev user,id=n0 -device virtio-net-pci,netdev=n0,id=net0 ` +
        `-drive file=${directory.join('disk.img')},format=raw,if=virtio,cache=none`,
    ],
    [
      'in libvirt style, RAM in a memfd, VNC and an agent channel',
      (directory) =>
        `-name guest=web,debug-threads=on -machine pc-q35-7.2,usb=off,memory-backend=pc.ram -accel tcg -m 64 ` +
        `-object ${libvirtRam(directory)} -nodefaults -no-user-config ` +
        `-chardev socket,id=charmonitor,path=${directory.join('mon')},server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control ` +
        `-device {"driver":"virtio-serial-pci","id":"virtio-serial0","bus":"pcie.0","addr":"0x6"} ` +
        `-chardev socket,id=charchannel0,path=${directory.join('agent')},server=on,wait=off ` +
        `-device {"driver":"virtserialport","bus":"virtio-serial0.0","nr":1,"chardev":"charchannel0","id":"channel0","name":"org.qemu.guest_agent.0"} ` +
        `-chardev pty,id=charserial0 -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} ` +
        `-audiodev {"id":"audio1","driver":"none"} -vnc unix:${directory.join('vnc')},audiodev=audio1 -device VGA,id=video0 ` +
        `-blockdev {"driver":"file","filename":"${directory.join('disk.img')}","node-name":"s0"} ` +
        `-blockdev {"driver":"raw","file":"s0","node-name":"f0"} -device {"driver":"virtio-blk-pci","drive":"f0","id":"virtio-disk0"} ` +
        `-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -msg timestamp=on`,
    ],
  ];
  test('with memory that it shares has the file of the other host there, and RAM of its own', async () => {
    using directory = new TempDirectory('/dev/shm');
    const [path, pathThere] = [directory.join('bus'), directory.join('bus-there')];
    const object = `memory-backend-file,id=shm0,size=1M,mem-path=${path},share=on`;
    await using vm = await startTinyVm({
      machine: 'pc',
      qemuArgs: ['-device', 'ivshmem-plain,memdev=shm0,master=on', '-object', object],
    });
    const survey = await surveyVm(vm.qmp, vm.pid);
    const { args, facts } = survey;
    await using there = await IncomingQemu.start(args, facts.machineType, { sharedFiles: { shm0: pathThere } });
    const arrived = await surveyVm(there.qmp, there.identity.pid);
    expect(compareVms(visibleMachine(facts), visibleMachine(arrived.facts))).toEqual([]);
    expect(arrived.ram.map(({ id, bytes }) => [id, bytes])).toEqual([['ram0', RAM_BYTES]]);
    expect(arrived.regions).toMatchObject([{ id: 'shm0', path: pathThere, bytes: 2 ** 20 }]);
    expect(survey.regions).toMatchObject([{ id: 'shm0', path, bytes: 2 ** 20 }]);
    expect(await findGuestRam(there.qmp, there.identity.pid)).toHaveLength(1);
  });

  // With default devices a QEMU that was unpacked elsewhere loads modules of the installed one, and refuses them.
  const installed = findBinary(TEST_QEMU).startsWith('/usr/');
  test.each(installed ? styles : styles.slice(1))('%s, runs on from what was derived', async (_, args) => {
    await using vm = await ForeignVm.start(args);
    const { qmp, identity } = vm.started;
    const survey = await surveyVm(qmp, identity.pid);
    expect(survey.blockers).toEqual([]);
    await using there = await IncomingQemu.start(survey.args, survey.facts.machineType);
    const { facts } = await surveyVm(there.qmp, there.identity.pid);
    expect(compareVms(visibleMachine(survey.facts), visibleMachine(facts))).toEqual([]);
    const { machineType } = facts;
    const question = { args: there.args, accel: 'tcg', memoryBytes: RAM_BYTES, ramPath: '/dev/shm/x' } as const;
    expect(findFitBlockers(question)).toEqual([]);
    expect(findBinaryBlockers(await probeQemuBinary(TEST_QEMU), { machineType, accel: 'tcg' })).toEqual([]);

    using source = new TinyGuestView(identity.pid, RAM_BYTES);
    await source.ready();
    await borrowMigrationSettings(qmp, 'save');
    await borrowMigrationSettings(there.qmp, 'load');
    const load = loadDeviceState(there.qmp, there.directory.join('in'), { logPath: there.logPath });
    await load.ready;
    await qmp.execute('stop');
    await there.copyRam(qmp, identity.pid);
    for await (const chunk of savedState(qmp, vm.directory.join('out'))) await load.write(chunk);
    await load.loaded;
    await contVm(there.qmp);
    using arrived = new TinyGuestView(there.identity.pid, RAM_BYTES);
    await arrived.passes(2);
    await there.qmp.execute('stop');
    expect(arrived.checkInvariant()).toEqual({ ok: true });
  });
});

/** Empty where there is no QEMU; the tests are skipped then. */
async function qemuVersion(): Promise<string> {
  try {
    return (await probeQemuBinary(TEST_QEMU)).version;
  } catch (error) {
    if (hasCode(error, 'GW_QEMU_START')) return '';
    throw error;
  }
}

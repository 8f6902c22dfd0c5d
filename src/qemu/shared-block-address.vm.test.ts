import { expect, test } from 'vitest';
import { checkCoherence } from '../../guest/sharing/coherence.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import { IncomingQemu } from '../../test/support/incoming-qemu.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { qemuVersions } from '../../test/support/other-qemu.ts';
import { savedState } from '../../test/support/saved-state.ts';
import { createRegion, REGION_NAME, regionArguments, SharingVms } from '../../test/support/sharing-vms.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { TinyGuestView } from '../../test/support/tiny-guest-view.ts';
import { startTinyVm, type TinyVm } from '../../test/support/tiny-vm.ts';
import { within } from '../../test/support/wait-until.ts';
import { loadDeviceState } from './device-state-load.ts';
import { type SaveOptions, saveDeviceState } from './device-state-save.ts';
import { borrowMigrationSettings } from './migration-settings.ts';
import { contVm } from './run-state.ts';
import { listSharingDevices } from './shared-memory.ts';
import type { Accelerator } from './spec.ts';
import { StateOutlet } from './state-outlet.ts';

const describe = requireCapability('vm');
const BACKEND = `shared-${REGION_NAME}`;
/** RAM or the region would be megabytes. */
const MOST_STATE_BYTES = 1_000_000;
const MACHINES = ['pc-i440fx-7.2', 'pc-q35-7.2'];
const MOVED = withFurther(MACHINES.slice(1), MACHINES.slice(0, 1));
const VERSIONS = qemuVersions();
const MOVES = VERSIONS.flatMap((from) =>
  VERSIONS.flatMap((to) => MOVED.map((machine) => ({ from, to, machine, accel: 'tcg' as Accelerator }))),
);

/** Loads the VM's state into a QEMU with the same region. Throws what loading it throws. */
async function move(vm: TinyVm, there: IncomingQemu, options?: SaveOptions): Promise<number> {
  await borrowMigrationSettings(vm.qmp, 'save');
  await borrowMigrationSettings(there.qmp, 'load');
  const load = loadDeviceState(there.qmp, there.directory.join('in'), { logPath: there.logPath });
  await load.ready;
  await vm.stop();
  await there.copyRam(vm.qmp, vm.pid);
  let bytes = 0;
  for await (const chunk of savedState(vm.qmp, vm.directory.join('out'), options)) {
    bytes += chunk.length;
    // A QEMU that refuses says so at the end.
    await load.write(chunk).catch(() => undefined);
  }
  await load.end();
  await load.loaded;
  return bytes;
}

/** One of two VMs is moved; the region stays where it is, and the other works on it all the time. */
async function expectMove({ from, to, machine, accel }: (typeof MOVES)[number]): Promise<void> {
  await using sharing = await SharingVms.start({ count: 2, vm: { machine, qemu: from, accel } });
  const [stays, vm] = sharing.vms as [TinyVm, TinyVm];
  const sharedFiles = { [BACKEND]: sharing.regionPath };
  await using there = await IncomingQemu.start(vm.args, machine, { qemu: to, accel, sharedFiles });
  await stays.guest.entriesRead(1000);
  const sharedBackends = (await listSharingDevices(vm.qmp)).map(({ backend }) => backend);
  expect(sharedBackends).toEqual([BACKEND]);
  expect(await move(vm, there, { sharedBackends })).toBeLessThan(MOST_STATE_BYTES);
  using arrived = new TinyGuestView(there.identity.pid, vm.ramBytes);
  expect(arrived.sharing.increments).toBe(vm.guest.sharing.increments);
  await contVm(there.qmp);
  await Promise.all([arrived.entriesRead(5000), stays.guest.entriesRead(5000), arrived.passes(2)]);
  await Promise.all([there.qmp.execute('stop'), stays.stop()]);
  expect(checkCoherence([stays.guest.sharing, arrived.sharing], sharing.region, sharing.layout).problems).toEqual([]);
  expect(arrived.checkInvariant()).toEqual({ ok: true });
}

describe('the device state of a VM with shared memory', () => {
  checkLeaks();

  test.each(MOVES)('moves from $from to $to, $machine, while another VM works on the region', expectMove);

  test.each(VERSIONS)('is refused by %s where its address is not cleared', async (qemu) => {
    const machine = MACHINES[0]!;
    await using sharing = await SharingVms.start({ count: 1, vm: { machine, qemu } });
    const [vm] = sharing.vms as [TinyVm];
    const sharedFiles = { [BACKEND]: sharing.regionPath };
    await using there = await IncomingQemu.start(vm.args, machine, { qemu, sharedFiles });
    await expect(move(vm, there)).rejects.toMatchObject({
      code: 'GW_QEMU_STATE',
      message: expect.stringMatching(`Mismatched GPAs for block .*/${BACKEND}`),
    });
    await vm.resume();
    await vm.guest.increments(1);
  });

  test('is refused, and the VM goes on, when the region is not in it', async () => {
    await using sharing = await SharingVms.start({ count: 1 });
    const [vm] = sharing.vms as [TinyVm];
    await borrowMigrationSettings(vm.qmp, 'save');
    const outlet = await StateOutlet.open(vm.directory.join('out'));
    const save = saveDeviceState(vm.qmp, outlet, { sharedBackends: ['shared-other'] });
    const reading = (async () => {
      for await (const _ of save.chunks);
    })();
    const refusal = {
      code: 'GW_QEMU_STATE',
      message: expect.stringContaining('no block of backend shared-other'),
    };
    await expect(reading).rejects.toMatchObject(refusal);
    await expect(save.done).rejects.toMatchObject(refusal);
    // QEMU may have stopped the VM before it was told to give up.
    await within('it is known that the VM will not stop', Promise.allSettled([save.stopped]), 1_000);
    await vm.guest.increments(1);
  });

  test('a VM has the shared backends that its ivshmem devices have, with an id or without', async () => {
    using directory = new TempDirectory();
    const regions = ['one', 'two'].map((name) => ({ name, path: directory.join(name) }));
    const qemuArgs = regions.flatMap(({ name, path }) => {
      createRegion(path, 2 ** 20);
      return regionArguments(name, path, 2 ** 20);
    });
    await using vm = await startTinyVm({ qemuArgs: qemuArgs.map((word) => word.replace(',id=ivshmem-two', '')) });
    expect((await listSharingDevices(vm.qmp)).map(({ backend }) => backend)).toEqual(['shared-one', 'shared-two']);
    await using other = await startTinyVm();
    expect((await listSharingDevices(other.qmp)).map(({ backend }) => backend)).toEqual([]);
  });
});

requireCapability('vm', 'kvm')('the device state of a VM with shared memory under KVM', () => {
  checkLeaks();

  test.each(MOVES.filter(({ from, to }) => from === to).map((move) => ({ ...move, accel: 'kvm' as Accelerator })))(
    'moves from $from to $to, $machine, while another VM works on the region',
    expectMove,
  );
});

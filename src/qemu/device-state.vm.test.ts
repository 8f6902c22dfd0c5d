import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { IncomingQemu } from '../../test/support/incoming-qemu.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { savedState } from '../../test/support/saved-state.ts';
import { TinyGuestView } from '../../test/support/tiny-guest-view.ts';
import { startTinyVm, type TinyVm } from '../../test/support/tiny-vm.ts';
import { type DeviceStateLoad, loadDeviceState } from './device-state-load.ts';
import { saveDeviceState } from './device-state-save.ts';
import { inspectVm } from './facts.ts';
import { compareVms, visibleMachine } from './fit.ts';
import { borrowMigrationSettings, restoreMigrationSettings } from './migration-settings.ts';
import { isMigrating } from './migration-status.ts';
import { killQemu } from './process.ts';
import { contVm, queryRunState } from './run-state.ts';
import { StateOutlet } from './state-outlet.ts';

const describe = requireCapability('vm');
const MACHINE = 'pc-q35-7.2';
/** RAM would be 16 MiB and more. */
const MOST_STATE_BYTES = 1_000_000;

async function prepareLoad(incoming: IncomingQemu): Promise<DeviceStateLoad> {
  await borrowMigrationSettings(incoming.qmp, 'load');
  const load = loadDeviceState(incoming.qmp, incoming.directory.join('in'), { logPath: incoming.logPath });
  await load.ready;
  return load;
}

async function collect(vm: TinyVm): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of savedState(vm.qmp, vm.directory.join('out'))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('the device state', () => {
  checkLeaks();

  test('moves a VM together with its RAM, and back', async () => {
    await using vm = await startTinyVm({ machine: MACHINE });
    await using there = await IncomingQemu.start(vm.args, MACHINE);
    expect(compareVms(visibleMachine(await inspectVm(vm.qmp)), visibleMachine(await inspectVm(there.qmp)))).toEqual([]);
    await borrowMigrationSettings(vm.qmp, 'save');
    const load = await prepareLoad(there);
    await vm.qmp.execute('stop');
    await there.copyRam(vm.qmp, vm.pid);
    let bytes = 0;
    for await (const chunk of savedState(vm.qmp, vm.directory.join('out'))) {
      bytes += chunk.length;
      await load.write(chunk);
    }
    await load.end();
    await load.loaded;
    expect(bytes).toBeLessThan(MOST_STATE_BYTES);
    expect(await queryRunState(there.qmp)).toMatchObject({ status: 'paused', running: false });
    expect(existsSync(vm.directory.join('out'))).toBe(false);

    using arrived = new TinyGuestView(there.identity.pid, vm.ramBytes);
    expect(arrived.checkInvariant()).toEqual({ ok: true });
    const before = arrived.counters.pagesWritten;
    expect(before).toBe(vm.guest.counters.pagesWritten);
    await contVm(there.qmp);
    await arrived.passes(2);
    await there.qmp.execute('stop');
    expect(arrived.checkInvariant()).toEqual({ ok: true });

    await using back = await IncomingQemu.start(there.args, MACHINE);
    await borrowMigrationSettings(there.qmp, 'save');
    const loadBack = await prepareLoad(back);
    await back.copyRam(there.qmp, there.identity.pid);
    for await (const chunk of savedState(there.qmp, there.directory.join('out'))) await loadBack.write(chunk);
    await loadBack.loaded;
    using returned = new TinyGuestView(back.identity.pid, vm.ramBytes);
    await contVm(back.qmp);
    await returned.passes(2);
    await back.qmp.execute('stop');
    expect(returned.checkInvariant()).toEqual({ ok: true });
  });

  test('leaves the source able to go on', async () => {
    await using vm = await startTinyVm({ machine: MACHINE });
    const found = await borrowMigrationSettings(vm.qmp, 'save');
    await vm.qmp.execute('stop');
    expect((await collect(vm)).length).toBeLessThan(MOST_STATE_BYTES);
    await restoreMigrationSettings(vm.qmp, found);
    await contVm(vm.qmp);
    await vm.guest.passes(2);
    await vm.qmp.execute('stop');
    expect(vm.guest.checkInvariant()).toEqual({ ok: true });
  });

  test('comes in two parts: before QEMU has stopped the VM, and after', async () => {
    await using vm = await startTinyVm();
    await borrowMigrationSettings(vm.qmp, 'save');
    const before = Date.now();
    const save = saveDeviceState(vm.qmp, await StateOutlet.open(vm.directory.join('out')));
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of save.chunks) bytes += chunk.length;
    })();
    // Before QEMU waits for vCPUs that are slowed.
    const first = await Promise.race([save.stopping.then(() => 'stopping'), save.stopped.then(() => 'stopped')]);
    expect(first).toBe('stopping');
    const { stoppedAtMs } = await save.stopped;
    expect(stoppedAtMs).toBeGreaterThanOrEqual(before - 1);
    expect(await queryRunState(vm.qmp)).toMatchObject({ running: false });
    const { pagesWritten } = vm.guest.counters;
    const early = bytes;
    await save.proceed();
    await reading;
    expect(bytes).toBeGreaterThan(early + 10_000);
    expect(vm.guest.counters.pagesWritten).toBe(pagesWritten);
    await contVm(vm.qmp);
    await vm.guest.passes(1);
  });

  test('that is cancelled at the stop lets QEMU resume the VM', async () => {
    await using vm = await startTinyVm();
    await borrowMigrationSettings(vm.qmp, 'save');
    const controller = new AbortController();
    const save = saveDeviceState(vm.qmp, await StateOutlet.open(vm.directory.join('out')), {
      signal: controller.signal,
    });
    const reading = (async () => {
      for await (const _ of save.chunks);
    })();
    await save.stopped;
    controller.abort(new Error('cancelled'));
    await expect(reading).rejects.toThrow('cancelled');
    expect(await queryRunState(vm.qmp)).toMatchObject({ running: true });
    await vm.guest.passes(1);
  });

  test('can be saved again after a save that was broken off', async () => {
    await using vm = await startTinyVm();
    await borrowMigrationSettings(vm.qmp, 'save');
    await vm.qmp.execute('stop');
    const save = saveDeviceState(vm.qmp, await StateOutlet.open(vm.directory.join('out')));
    for await (const _ of save.chunks) break;
    await expect(save.done).rejects.toMatchObject({ code: 'GW_QEMU_STATE' });
    expect(await isMigrating(vm.qmp)).toBe(false);
    await contVm(vm.qmp);
    await vm.guest.passes(1);
    await vm.qmp.execute('stop');
    expect((await collect(vm)).length).toBeGreaterThan(10_000);
  });

  test('that is cancelled ends with the reason, and the VM goes on', async () => {
    await using vm = await startTinyVm();
    await borrowMigrationSettings(vm.qmp, 'save');
    await vm.qmp.execute('stop');
    const reason = new Error('cancelled');
    const controller = new AbortController();
    const save = saveDeviceState(vm.qmp, await StateOutlet.open(vm.directory.join('out')), {
      signal: controller.signal,
    });
    const reading = (async () => {
      for await (const _ of save.chunks) controller.abort(reason);
    })();
    await expect(reading).rejects.toBe(reason);
    await contVm(vm.qmp);
    await vm.guest.passes(1);
  });

  test("is refused in QEMU's own words", async () => {
    const shared = ['-object', 'memory-backend-ram,id=shared,size=1M,share=on'];
    await using vm = await startTinyVm({ qemuArgs: [...shared, '-device', 'ivshmem-plain,memdev=shared'] });
    await borrowMigrationSettings(vm.qmp, 'save');
    await vm.qmp.execute('stop');
    await expect(collect(vm)).rejects.toMatchObject({
      code: 'GW_QEMU_STATE',
      message: expect.stringContaining("Migration is disabled when using feature 'peer mode'"),
    });
  });

  test('of a QEMU that dies ends with an error', async () => {
    await using vm = await startTinyVm();
    await borrowMigrationSettings(vm.qmp, 'save');
    await vm.qmp.execute('stop');
    await killQemu(vm.identity);
    await expect(collect(vm)).rejects.toMatchObject({ code: 'GW_QEMU_STATE', details: { reason: 'QEMU has ended' } });
  });

  test("that does not fit the destination fails with QEMU's own words", async () => {
    await using vm = await startTinyVm({ machine: MACHINE, qemuArgs: ['-device', 'virtio-rng-pci'] });
    await using there = await IncomingQemu.start(
      vm.args.filter((word) => !['-device', 'virtio-rng-pci'].includes(word)),
      MACHINE,
    );
    await borrowMigrationSettings(vm.qmp, 'save');
    const load = await prepareLoad(there);
    await vm.qmp.execute('stop');
    await there.copyRam(vm.qmp, vm.pid);
    const state = await collect(vm);
    await load.write(state).catch(() => undefined);
    await load.end();
    await expect(load.loaded).rejects.toMatchObject({
      code: 'GW_QEMU_STATE',
      message: expect.stringMatching(/could not load the device state: .*0000:00:01\.0\/virtio-rng/),
    });
  });

  test('that is cut off fails to load', async () => {
    await using vm = await startTinyVm({ machine: MACHINE });
    await using there = await IncomingQemu.start(vm.args, MACHINE);
    await borrowMigrationSettings(vm.qmp, 'save');
    const load = await prepareLoad(there);
    await vm.qmp.execute('stop');
    await there.copyRam(vm.qmp, vm.pid);
    const state = await collect(vm);
    await load.write(state.subarray(0, state.length / 2));
    await load.end();
    await expect(load.loaded).rejects.toMatchObject({ code: 'GW_QEMU_STATE' });
  });

  test('that nobody wants to load any more ends with the reason', async () => {
    await using vm = await startTinyVm({ machine: MACHINE });
    await using there = await IncomingQemu.start(vm.args, MACHINE);
    await borrowMigrationSettings(there.qmp, 'load');
    const reason = new Error('cancelled');
    const controller = new AbortController();
    const load = loadDeviceState(there.qmp, there.directory.join('in'), {
      logPath: there.logPath,
      signal: controller.signal,
    });
    await load.ready;
    controller.abort(reason);
    await expect(load.loaded).rejects.toBe(reason);
  });
});

describe("QEMU's migration settings", () => {
  checkLeaks();

  test('are as they were after they were given back', async () => {
    await using vm = await startTinyVm();
    const read = async (): Promise<unknown> => [
      await vm.qmp.execute('query-migrate-capabilities'),
      await vm.qmp.execute('query-migrate-parameters'),
    ];
    await vm.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'xbzrle', state: true }] });
    const before = await read();
    const found = await borrowMigrationSettings(vm.qmp, 'save');
    expect(await read()).not.toEqual(before);
    await restoreMigrationSettings(vm.qmp, found);
    expect(await read()).toEqual(before);
  });

  test('need not be given back to a QEMU that has ended', async () => {
    await using vm = await startTinyVm();
    const found = await borrowMigrationSettings(vm.qmp, 'save');
    await killQemu(vm.identity);
    await restoreMigrationSettings(vm.qmp, found);
  });
});

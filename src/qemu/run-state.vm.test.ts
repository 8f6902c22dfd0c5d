import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { startTinyVm, type TinyVm } from '../../test/support/tiny-vm.ts';
import { isAlive, signalProcess } from '../linux/process.ts';
import { saveDeviceState } from './device-state-save.ts';
import { borrowMigrationSettings } from './migration-settings.ts';
import { announce, contVm, queryRunState, quitQemu } from './run-state.ts';
import { StateOutlet } from './state-outlet.ts';

const describe = requireCapability('vm');

/** QEMU saves the device state until it is cancelled. */
async function beginSave({ qmp, directory }: TinyVm): Promise<() => Promise<void>> {
  await borrowMigrationSettings(qmp, 'save');
  const controller = new AbortController();
  const save = saveDeviceState(qmp, await StateOutlet.open(directory.join('out')), { signal: controller.signal });
  const reading = (async () => {
    for await (const _ of save.chunks);
  })();
  await save.stopped;
  return async () => {
    controller.abort(new Error('cancelled'));
    await expect(reading).rejects.toThrow('cancelled');
  };
}

describe('a VM', () => {
  checkLeaks();

  test("is resumed at QEMU's own time", async () => {
    await using vm = await startTinyVm();
    await vm.qmp.execute('stop');
    const before = Date.now();
    const passes = vm.guest.counters.pagesWritten;
    const { resumedAtMs } = await contVm(vm.qmp);
    const times = [before - 1, resumedAtMs, Date.now() + 1];
    expect(times).toEqual([...times].sort((a, b) => a - b));
    await vm.guest.pagesWritten(1);
    expect(vm.guest.counters.pagesWritten).toBeGreaterThan(passes);
  });

  test('that runs already goes on', async () => {
    await using vm = await startTinyVm();
    await contVm(vm.qmp);
    expect(await queryRunState(vm.qmp)).toMatchObject({ status: 'running' });
  });

  test('whose device state is being saved is resumed when the save has been cancelled', async () => {
    await using vm = await startTinyVm();
    await vm.qmp.execute('stop');
    const cancel = await beginSave(vm);
    const resumed = contVm(vm.qmp);
    // QEMU has refused once, and could not have done anything else.
    expect(await queryRunState(vm.qmp)).toMatchObject({ status: 'finish-migrate' });
    await cancel();
    await resumed;
    expect(await queryRunState(vm.qmp)).toMatchObject({ status: 'running' });
    await vm.guest.pagesWritten(1);
  });

  test("whose save does not end is not waited for beyond the time: QEMU's refusal is told", async () => {
    await using vm = await startTinyVm();
    const cancel = await beginSave(vm);
    await expect(contVm(vm.qmp, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'GW_QMP_ERROR' });
    await cancel();
  });

  test('announces itself', async () => {
    await using vm = await startTinyVm();
    await announce(vm.qmp);
  });

  test('quits when it is asked to', async () => {
    await using vm = await startTinyVm();
    expect(await quitQemu(vm.qmp, vm.identity)).toBe(true);
    expect(isAlive(vm.identity)).toBe(false);
  });

  test('is ended without a QMP connection', async () => {
    await using vm = await startTinyVm();
    expect(await quitQemu(undefined, vm.identity)).toBe(true);
  });

  test('that hangs is killed', async () => {
    await using vm = await startTinyVm();
    signalProcess(vm.identity, 'SIGSTOP');
    expect(await quitQemu(undefined, vm.identity)).toBe(true);
  });
});

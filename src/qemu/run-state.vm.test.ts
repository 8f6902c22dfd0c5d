import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { isAlive, signalProcess } from '../linux/process.ts';
import { announce, contVm, queryRunState, quitQemu, stopVm } from './run-state.ts';

const describe = requireCapability('vm');

describe('a VM', () => {
  checkLeaks();

  test("is stopped and resumed at QEMU's own times", async () => {
    await using vm = await startTinyVm();
    const before = Date.now();
    const { stoppedAtMs, wasRunning } = await stopVm(vm.qmp);
    const passes = vm.guest.counters.pagesWritten;
    const { resumedAtMs } = await contVm(vm.qmp);
    expect(wasRunning).toBe(true);
    expect([before - 1, stoppedAtMs, resumedAtMs, Date.now() + 1]).toEqual(
      [before - 1, stoppedAtMs, resumedAtMs, Date.now() + 1].sort((a, b) => a - b),
    );
    await vm.guest.pagesWritten(1);
    expect(vm.guest.counters.pagesWritten).toBeGreaterThan(passes);
  });

  test('that is paused already is not stopped again', async () => {
    await using vm = await startTinyVm();
    await stopVm(vm.qmp);
    expect(await stopVm(vm.qmp)).toMatchObject({ wasRunning: false });
    expect(await queryRunState(vm.qmp)).toMatchObject({ status: 'paused', running: false });
  });

  test('that runs already goes on', async () => {
    await using vm = await startTinyVm();
    await contVm(vm.qmp);
    expect(await queryRunState(vm.qmp)).toMatchObject({ status: 'running' });
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

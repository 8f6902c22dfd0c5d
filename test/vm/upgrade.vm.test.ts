/** The QEMU of a running VM is replaced on the same memory, or stays: whatever ends on the way. */
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasCode } from '../../src/base/errors.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { completedReport, createTinyVm, HostPair, openTinyGuest, type ReachedHost } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { OtherQemu, qemuVersions } from '../support/other-qemu.ts';
import { digestOf, ramFilesOf, runsAlone, TALKING, UpgradingHost, VM } from '../support/upgraded-vm.ts';

checkLeaks();

const versions = qemuVersions();

const refusedWith = (code: Parameters<typeof hasCode>[1]): Error =>
  expect.toSatisfy((error) => hasCode(error, code)) as Error;

requireCapability('vm')('another QEMU for a VM that runs', () => {
  test('has the memory as it is, the console goes on, a paused one stays paused, and the VM moves as before', async () => {
    await using pair = await HostPair.open();
    const { a } = pair;
    await createTinyVm(a, { name: VM, guest: TALKING });
    for (const qemu of versions) {
      const before = await a.client.showVm(VM);
      const files = ramFilesOf(before.pid!);
      const text = await a.client.consoleText(VM);
      const { status, json } = await a.host.cli(['vm', 'upgrade', VM, '--qemu', qemu, '--json']);
      expect({ status, json }).toMatchObject({ status: 0, json: { vm: VM, memoryCopiedBytes: 0 } });
      expect(json).toMatchObject({ state: 'running', wasRunning: true });
      expect(json.downtimeMs).toBeGreaterThan(0);
      // The very files, so nothing was copied.
      expect(ramFilesOf(json.pid)).toEqual(files);
      const after = await a.client.showVm(VM);
      expect(after).toMatchObject({ pid: json.pid, qemuVersion: json.to.version, state: 'running' });
      expect(after.pid).not.toBe(before.pid);
      const { uuid, epoch, createdAtMs } = before;
      expect(after).toMatchObject({ uuid, epoch, createdAtMs });
      await runsAlone(a, VM, json.pid);
      expect((await a.client.consoleText(VM)).startsWith(text)).toBe(true);
      expect((await a.client.consoleText(VM)).length).toBeGreaterThan(text.length);
    }
    for (const qemu of withFurther(versions.slice(0, 1), versions.slice(1))) await isUntouchedWhenPaused(a, qemu);
    completedReport(await pair.move(VM));
    await runsIntact(pair, VM, pair.b);
  });

  test('stays where it is when the new QEMU is of no use, and when it is not to be', async () => {
    await using host = await UpgradingHost.open(undefined);
    const { at } = host;
    const pid = await host.pid();
    const writing = `for word in "$@"; do case "$word" in *mem-path=/dev/shm*) file=\${word#*mem-path=}; file=\${file%%,*};
      truncate -s 64M $file; printf x | dd of=$file bs=1 seek=8192 conv=notrunc 2>/dev/null;; esac; done`;
    const cases = [
      // It ends when it loads the state of a timer that it has not.
      [{ args: '-machine hpet=off' }, 'GW_UPGRADE_FAILED', /goes on in the old one: .*'hpet'/],
      [{ arriving: writing }, 'GW_UPGRADE_REFUSED', /touches the guest's memory/],
      [{ arriving: 'echo broken; exit 3' }, 'GW_UPGRADE_FAILED', /broken/],
      [{ machines: 'Supported machines are:\\npc-q35-99 x\\n' }, 'GW_UPGRADE_REFUSED', /no such machine type/],
      [{ args: '-device virtio-rng-pci' }, 'GW_UPGRADE_REFUSED', /has in addition virtio-rng-pci/],
    ] as const;
    for (const [options, code, words] of withFurther(cases.slice(0, 2), cases.slice(2))) {
      using other = new OtherQemu(options);
      const failed = at.client.upgradeVm(VM, { qemu: other.path });
      await expect(failed).rejects.toThrow(refusedWith(code));
      await expect(failed).rejects.toThrow(words);
      expect(existsSync(host.journalPath)).toBe(false);
      await runsAlone(at, VM, pid);
    }
    using slow = new OtherQemu({ arriving: 'sleep 5' });
    const cancelled = at.client.upgradeVm(VM, { qemu: slow.path });
    await expect(at.client.actOnVm(VM, 'pause')).rejects.toThrow(refusedWith('GW_CONFLICT'));
    await Promise.all([
      expect(cancelled).rejects.toThrow(refusedWith('GW_UPGRADE_CANCELLED')),
      at.client.cancelUpgrade(VM),
    ]);
    await runsAlone(at, VM, pid);
  });

  // The last two records: the VM stands still, and has been loaded by the new QEMU.
  test.each(withFurther([4], [3]))('stays where it is when record %i cannot be written', async (nth) => {
    await using host = await UpgradingHost.open(`journalAppend:${nth}`);
    const pid = await host.pid();
    await expect(host.at.client.upgradeVm(VM)).rejects.toThrow(refusedWith('GW_UPGRADE_FAILED'));
    await runsAlone(host.at, VM, pid);
  });

  test.each(['upgradeLoaded', 'upgradeCommitted'] as const)('a daemon that dies at %s', async (fault) => {
    await using host = await UpgradingHost.open(fault);
    const { at } = host;
    const pid = await host.pid();
    using guest = await openTinyGuest(at, VM);
    const broken = at.client.upgradeVm(VM);
    await host.journalHas(fault === 'upgradeLoaded' ? 'stopping' : 'committed', broken);
    await host.standsStill(guest);
    await at.host.kill();
    await expect(broken).rejects.toThrow(refusedWith('GW_API_UNREACHABLE'));
    await at.host.start();
    if (fault === 'upgradeLoaded') await runsAlone(at, VM, pid);
    else await runsAlone(at, VM, await host.pid());
    expect((await host.pid()) === pid).toBe(fault === 'upgradeLoaded');
    expect(existsSync(host.journalPath)).toBe(false);
  });
});

/** The new QEMU neither resumes it nor writes into its memory, when it starts and when it loads. */
async function isUntouchedWhenPaused(at: ReachedHost, qemu: string): Promise<void> {
  await at.client.actOnVm(VM, 'pause');
  const digest = await digestOf(at, VM);
  const { pid, ...report } = await at.client.upgradeVm(VM, { qemu });
  expect(report).toMatchObject({ downtimeMs: null, state: 'paused', wasRunning: false });
  expect(await at.client.showVm(VM)).toMatchObject({ pid, state: 'paused' });
  expect(await digestOf(at, VM)).toBe(digest);
  await at.client.actOnVm(VM, 'resume');
  await runsAlone(at, VM, pid);
}

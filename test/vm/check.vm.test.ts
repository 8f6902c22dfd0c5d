/** A check goes as far as a migration does before its first page, says the same, and leaves nothing behind. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { completedReport, createTinyVm, HostPair, type ReachedHost } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { OtherQemu } from '../support/other-qemu.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'checked';

/** Processes and directories of VMs on this host. */
function vmsOf({ host }: ReachedHost): string[] {
  const directory = host.directory.join('state', 'vms');
  const processes = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(directory));
  return [...readdirSync(directory), ...processes];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return 'has just ended';
  }
}

requireCapability('vm')('a check', () => {
  test('of a VM that fits starts its QEMU there and leaves nothing of it, and the VM moves', async () => {
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: CALM });
    const to = pair.b.host.migration;
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(check).toMatchObject({ status: 0, json: { ok: true, outcome: 'ok', blockers: [], notes: [] } });
    expect(vmsOf(pair.b)).toEqual([]);
    completedReport(await pair.move(VM));
    await runsIntact(pair, VM, pair.b);
  });

  test.each<readonly [string, ConstructorParameters<typeof OtherQemu>[0], RegExp]>(
    withFurther(
      [
        [
          'a CPU feature less',
          { args: '-cpu qemu64,-sse3' },
          /this host lacks CPUID 0x1\.ECX bit 0 \(start the VM with a -cpu model/,
        ],
        [
          'a device that is not known there',
          { args: '-device no-such-device' },
          /QEMU did not start: .*no-such-device/,
        ],
      ],
      [
        [
          'a machine type that its QEMU lacks',
          { machines: 'Supported machines are:\\nisapc\\n', arriving: 'echo unsupported machine type >&2; exit 1' },
          /has no such machine type \(install the QEMU version of the source/,
        ],
        [
          'a register that was empty',
          { args: '-cpu qemu64,+smep' },
          /this host has in addition CPUID 0x7:0\.EBX bit 7 \(/,
        ],
      ],
    ),
  )('says what a migration is refused for: %s', async (_, unlike, told) => {
    using other = new OtherQemu(unlike);
    await using pair = await HostPair.open({}, other.host);
    await createTinyVm(pair.a, { name: VM, guest: CALM, qemu: other.qemu });
    const to = pair.b.host.migration;
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(vmsOf(pair.b)).toEqual([]);
    const migration = await pair.a.host.cli(['migrate', VM, '--to', to, '--json']);
    expect(migration).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
    expect(migration.json.error.message).toMatch(told);
    expect(check).toMatchObject({
      status: migration.status,
      json: { ok: false, outcome: 'refused', blockers: [{ reason: migration.json.error.message }] },
    });
    await runsIntact(pair, VM, pair.a);
  });

  test.each(
    withFurther<'source' | 'destination'>(['source'], ['destination']),
  )('that the daemon of the %s breaks off leaves nothing', async (side) => {
    using other = new OtherQemu({ arriving: 'kill -STOP $$' });
    await using pair = await HostPair.open({}, other.host);
    await createTinyVm(pair.a, { name: VM, guest: CALM, qemu: other.qemu });
    const check = pair.a.host.cli(['check', VM, '--to', pair.b.host.migration, '--json']);
    await waitUntil('its QEMU has been started', () => vmsOf(pair.b).length === 2);
    await (side === 'source' ? pair.a.host.kill() : pair.b.host.stop());
    expect(await check).toMatchObject({ status: side === 'source' ? 1 : 3 });
    await waitUntil('nothing is left', () => vmsOf(pair.b).length === 0);
  });
});

/** A destination daemon that dies between the start of a VM's QEMU and its record: the next one ends it all the same. */
import { existsSync, globSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { beginMigration, createTinyVm, HostPair } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { OtherQemu } from '../support/other-qemu.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'unwritten';

requireCapability('vm')('a QEMU without a record', () => {
  test.each(withFurther<'socket' | 'none'>(['none'], ['socket']))('that has as its socket: %s', async (kind) => {
    using signs = new TempDirectory();
    const begun = signs.join('begun');
    const goOn = signs.join('go-on');
    using other = new OtherQemu({ arriving: `: > ${begun}; while [ ! -e ${goOn} ]; do sleep 0.05; done` });
    await using pair = await HostPair.open({}, other.host);
    await createTinyVm(pair.a, { name: VM, qemu: other.qemu });
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'pre-copy' });
    await waitUntil('its QEMU has been started', () => existsSync(begun));
    await pair.b.host.kill();
    expect((await migration.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    if (kind === 'socket') {
      writeFileSync(goOn, '');
      const sockets = pair.b.host.directory.join('state', 'vms', VM, '*', 'qmp.sock');
      await waitUntil('QEMU listens', () => globSync(sockets).length === 1);
    }
    await pair.b.host.start();
    writeFileSync(goOn, '');
    await nothingRemains(pair.b, VM);
    await runsIntact(pair, VM, pair.a);
  });
});

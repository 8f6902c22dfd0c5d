/** What `--verify` finds that nothing else would. */
import { expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { listOpenFiles } from '../../src/linux/process.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { requireCapability } from '../support/capability.ts';
import { beginMigration, createTinyVm, HostPair, isFree } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { CALM } from '../support/tiny-vm.ts';

checkLeaks();

const VM = 'watched';
const PAGE = 4096;
const MIB = 2 ** 20;
/** 16 MiB that the guest has contents in. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
/** Far from what is sent first. */
const LAST_PAGE = FILL.firstPage + FILL.pageCount - 1;

requireCapability('vm')('verification', () => {
  test('a page that changed at the source after the stop is found when the last page is there', async () => {
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...CALM, fill: FILL } });
    const { pid, memoryBytes } = await pair.a.client.showVm(VM);
    const ram = listOpenFiles(pid!).find(({ path }) => path.startsWith('/dev/shm/'))!;
    using file = RamFile.open(`/proc/${pid}/fd/${ram.fd}`, memoryBytes);
    const request = { mode: 'post-copy', verify: true, bandwidthBytesPerSecond: 8 * MIB } as const;
    const migration = await beginMigration(pair.a, VM, { to: pair.b.host.migration, ...request });
    await migration.reaches('serving');
    file.write(LAST_PAGE * PAGE, Buffer.alloc(PAGE, 'not what was there at the stop'));
    const { state, report } = await migration.ended;
    expect(state).toBe('failed');
    expect(report).toMatchObject({
      owner: 'b',
      verify: { equal: false },
      error: { code: 'GW_MIGRATION_VERIFY', message: expect.stringContaining('after the VM had moved') },
    });
    expect((await isFree(pair.b, VM)).state).toBe('running');
  });
});

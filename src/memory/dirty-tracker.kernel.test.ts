import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { CountingQemu } from '../../test/support/counting-qemu.ts';
import { describeTracker } from '../../test/support/tracker-contract.ts';
import { countPages } from '../base/page.ts';
import { KernelDirtyTracker } from './dirty-tracker.ts';
import { RamLayout } from './layout.ts';

describeTracker('the tracker of a process', (pid, layout, starts) => KernelDirtyTracker.open(pid, layout, starts));

requireCapability('vm')('the tracker of a QEMU', () => {
  test('sees the page that the guest writes, and leaves QEMU running', async () => {
    await using qemu = await CountingQemu.start(64);
    const layout = new RamLayout([{ id: 'ram', bytes: qemu.bytes }]);
    using tracker = KernelDirtyTracker.open(qemu.pid, layout, [qemu.start]);
    tracker.start();
    const before = qemu.count();
    while (qemu.count() === before) await qemu.execute('query-status');
    const runs = tracker.collect();
    expect(countPages(runs)).toBeLessThan(64);
    expect(runs.some(({ first, count }) => first <= 1 && first + count > 1)).toBe(true);
    await qemu.execute('stop');
    tracker.collect();
    expect(tracker.collect()).toEqual([]);
    await qemu.execute('cont');
    tracker.stop();
    expect(await qemu.execute('query-status')).toMatchObject({ status: 'running' });
  });
});

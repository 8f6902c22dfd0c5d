/** A region that VMs share moves, with both its threads, while VMs work on it. */
import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { RegionHosts } from '../../test/support/region-hosts.ts';
import { allGoOn, expectWholeAt, startRunning, userfaultfdsOf } from '../../test/support/region-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { LEND_EVERY_MS, LENT_AT_ONCE_PAGES } from './region-settings.ts';

requireCapability('kernel', 'cc')('a region that VMs share moves', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  test('two VMs, the second one stopped by its first access to a page that has gone', async () => {
    hosts = await startRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await allGoOn(hosts);
    await hosts.stopAndMove('a');
    const stop = await hosts.sourceEvent('stopVm');
    expect(stop).toMatchObject({ vm: 'b', forGood: false });
    expect(Math.abs(stop.atMs - Date.now())).toBeLessThan(10_000);
    await hosts.stopAndMove('b');
    const { source, destination } = await hosts.completed();
    await hosts.destination!.ended;
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
    expect(source.stoppingAccesses).toMatchObject([{ vm: 'b', page: stop.page }]);
    expect(source).toMatchObject({ pagesHere: 0, reconnects: 0, tally: { sentAgain: 0 } });
    // Each page that the second VM missed until it stood.
    const lent = source.tally.asked;
    expect(lent).toBeGreaterThan(0);
    expect(destination).toMatchObject({ pagesHere: 200, tally: { arrivedAgain: 0, givenOnRequest: lent } });
    // No page twice but those that were lent.
    expect(source.tally.givenOnRequest + source.tally.pushed + source.tally.returned).toBe(200 + lent);
    expect(userfaultfdsOf(hosts, 'a') + userfaultfdsOf(hosts, 'b')).toBe(0);
  });

  test('a VM that can be stopped in a fault is lent nothing: its access is made at the destination', async () => {
    hosts = await startRunning({ pages: 200, vms: ['a', 'b', 'c'], canStopInFault: true });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.moveAsStopped(2, (vm) => waitUntil('it waits', () => vm.at !== undefined));
    const { source } = await hosts.completed();
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
    expect(source.tally.asked).toBe(0);
    expect(source.stoppingAccesses.map(({ vm }) => vm).sort()).toEqual(['b', 'c']);
  });

  test('a stop that does not come back is told, and the page is lent after all', async () => {
    hosts = await startRunning({ pages: 50, vms: ['a', 'b'], canStopInFault: true });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.sourceEvent('stopVm');
    hosts.source.vmOverdue('b');
    await hosts.vm('b').pause();
    await hosts.stopAndMove('b');
    const { source } = await hosts.completed();
    await expectWholeAt(hosts, 'destination');
    expect(source.tally.asked).toBeGreaterThan(0);
  });

  test('a VM that does not stand for long is lent pages slowly, and goes on', async () => {
    hosts = await startRunning({ pages: 1000, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('b').pause();
    await hosts.stopAndMove('a', (vm) => vm.run());
    await waitUntil('most pages have gone', async () => (await hosts.source.report()).pagesHere < 300);
    hosts.vm('b').run();
    const lent = async (): Promise<number> => (await hosts.source.report()).tally.asked;
    await waitUntil('many are lent', async () => (await lent()) > LENT_AT_ONCE_PAGES);
    const [before, fromMs] = [await lent(), performance.now()];
    await waitUntil('more are lent', async () => (await lent()) >= before + 20);
    expect(performance.now() - fromMs).toBeGreaterThan(19 * LEND_EVERY_MS);
    await hosts.stopAndMove('b');
    await hosts.completed();
    await expectWholeAt(hosts, 'destination');
  });

  test('a VM that was continued after its stop goes on here, and is stopped for good the second time', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.sourceEvent('stopVm');
    await hosts.vm('b').pause();
    hosts.source.vmStopped('b');
    hosts.source.vmContinued('b');
    hosts.vm('b').run(50);
    await waitUntil('it is stopped for good', () =>
      hosts.sourceEvents.some((each) => each.kind === 'stopVm' && each.forGood),
    );
    await hosts.stopAndMove('b');
    await hosts.completed();
    await expectWholeAt(hosts, 'destination');
  });

  test('a QEMU of the destination ends by itself: the others go on, and everything comes to its end', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a', 'b', 'c'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.moveAsStopped(1);
    await hosts.vm('a').kill();
    await hosts.moveAsStopped(1);
    await hosts.completed();
    await hosts.vm('a').start(hosts.path.destination);
    await expectWholeAt(hosts, 'destination');
  });

  test('a destination that is full waits for memory, and goes on when there is some', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a'], roomPages: 30 });
    await waitUntil('all of it is used', () => hosts.pagesIn('source') === 100);
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.destinationEvent('noted');
    hosts.grow(200);
    const { destination } = await hosts.completed();
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
    expect(destination.durations.noMemoryMs).toBeGreaterThan(0);
    expect(destination.tally.arrivedAgain).toBe(0);
  });

  test('what is pushed keeps to the bandwidth of the host', async () => {
    const budget = HostBudget.create(4_000_000);
    hosts = await startRunning({ pages: 500, vms: ['a'], budget: budget.buffer });
    await waitUntil('all of it is used', () => hosts.pagesIn('source') === 500);
    await hosts.startSource().ready;
    await hosts.stopAndMove('a', () => undefined);
    const { source } = await hosts.completed();
    await expectWholeAt(hosts, 'destination');
    // 436 pages before the rest goes at once, at 4 MB/s.
    expect(source.durations.movingMs).toBeGreaterThan(350);
  });

  test('memory that nobody has touched stays a hole, and reads as zeros where it arrives', async () => {
    hosts = await RegionHosts.open({ pages: 300, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('a').pause();
    await hosts.vm('b').pause();
    hosts.source.vmStopped('b');
    await hosts.stopAndMove('a', (vm) => vm.run(0, 5));
    await waitUntil('page 5 has moved', () => hosts.vm('a').accesses > 10);
    await hosts.stopAndMove('b', () => undefined);
    const { destination } = await hosts.completed();
    expect(destination.received).toEqual({ dataPages: 0, zeroPages: 300 });
    expect(hosts.pagesIn('destination')).toBe(1);
    await expectWholeAt(hosts, 'destination');
  });
});

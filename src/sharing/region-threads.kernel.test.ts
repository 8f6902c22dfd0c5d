import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { RegionHosts, type RegionHostsOptions } from '../../test/support/region-hosts.ts';
import { readSharedWords } from '../../test/support/sharer.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { GodwitError } from '../base/errors.ts';
import { listOpenFiles } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { REGION_FEATURES } from '../migration/shared-part.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { redialRegion } from './region-dialer.ts';
import { LEND_EVERY_MS, LENT_AT_ONCE_PAGES } from './region-settings.ts';

requireCapability('kernel', 'cc')('a region that VMs share moves', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  /** Every VM runs and has added something. */
  async function openRunning(options: RegionHostsOptions): Promise<void> {
    hosts = await RegionHosts.open(options);
    for (const vm of hosts.vms.values()) vm.run(50);
    await allGoOn();
  }

  /** Every VM accesses memory. */
  async function allGoOn(): Promise<void> {
    for (const vm of hosts.vms.values()) {
      const before = vm.accesses;
      await waitUntil(`${vm.vm} goes on`, () => vm.accesses > before + 100);
    }
  }

  /** Nothing was lost, nobody has seen anything old, and all of it is where it must be. */
  async function expectWholeAt(here: 'source' | 'destination'): Promise<void> {
    for (const vm of hosts.vms.values()) await vm.pause();
    expect(readSharedWords(hosts.path[here], hosts.pages)).toEqual(hosts.added());
    for (const vm of hosts.vms.values()) expect(vm.errors, vm.vm).toBe(0);
    expect(hosts.pagesIn(here === 'source' ? 'destination' : 'source')).toBe(0);
  }

  function userfaultfdsOf(vm: string): number {
    const files = listOpenFiles(hosts.vm(vm).watched.pid);
    return files.filter(({ path }) => path === 'anon_inode:[userfaultfd]').length;
  }

  test('two VMs, the second one stopped by its first access to a page that has gone', async () => {
    await openRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await allGoOn();
    await hosts.stopAndMove('a');
    const stop = await hosts.sourceEvent('stopVm');
    expect(stop).toMatchObject({ vm: 'b', forGood: false });
    expect(Math.abs(stop.atMs - Date.now())).toBeLessThan(10_000);
    await hosts.stopAndMove('b');
    const { source, destination } = await hosts.completed();
    await hosts.destination!.ended;
    await allGoOn();
    await expectWholeAt('destination');
    expect(source.stoppingAccesses).toMatchObject([{ vm: 'b', page: stop.page }]);
    expect(source).toMatchObject({ pagesHere: 0, reconnects: 0, tally: { sentAgain: 0 } });
    // Each page that the second VM missed until it stood.
    const lent = source.tally.asked;
    expect(lent).toBeGreaterThan(0);
    expect(destination).toMatchObject({ pagesHere: 200, tally: { arrivedAgain: 0, givenOnRequest: lent } });
    // No page twice but those that were lent.
    expect(source.tally.givenOnRequest + source.tally.pushed + source.tally.returned).toBe(200 + lent);
    expect(userfaultfdsOf('a') + userfaultfdsOf('b')).toBe(0);
  });

  test('a VM that can be stopped in a fault is lent nothing: its access is made at the destination', async () => {
    await openRunning({ pages: 200, vms: ['a', 'b', 'c'], canStopInFault: true });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.moveAsStopped(2, (vm) => waitUntil('it waits', () => vm.at !== undefined));
    const { source } = await hosts.completed();
    await allGoOn();
    await expectWholeAt('destination');
    expect(source.tally.asked).toBe(0);
    expect(source.stoppingAccesses.map(({ vm }) => vm).sort()).toEqual(['b', 'c']);
  });

  test('a stop that does not come back is told, and the page is lent after all', async () => {
    await openRunning({ pages: 50, vms: ['a', 'b'], canStopInFault: true });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.sourceEvent('stopVm');
    hosts.source.vmOverdue('b');
    await hosts.vm('b').pause();
    await hosts.stopAndMove('b');
    const { source } = await hosts.completed();
    await expectWholeAt('destination');
    expect(source.tally.asked).toBeGreaterThan(0);
  });

  test('a VM that does not stand for long is lent pages slowly, and goes on', async () => {
    await openRunning({ pages: 1000, vms: ['a', 'b'] });
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
    await expectWholeAt('destination');
  });

  test.each([1, 2, 3])('the link is cut now and then: nothing is lost, old or double (%i)', async () => {
    await using resources = new AsyncDisposableStack();
    await openRunning({ pages: 600, vms: ['a', 'b', 'c'] });
    await hosts.startSource().ready;
    // It takes as long as being cut a dozen times.
    hosts.link.shape({ bytesPerSecond: 3_000_000 });
    await hosts.stopAndMove('a');
    let isOver = false;
    const { link } = hosts;
    const cutting = (async () => {
      for (let cuts = 0; !isOver && cuts < 15; cuts++) {
        const direction = Math.random() < 0.8 ? 'up' : 'down';
        await link.carries(1 + 200_000 * Math.random() ** 3, direction, 300).catch(() => undefined);
        link.cut();
        link.restore();
      }
    })();
    resources.defer(async () => {
      isOver = true;
      await cutting;
    });
    await hosts.moveAsStopped(2);
    const { source, destination } = await hosts.completed();
    await resources.disposeAsync();
    await allGoOn();
    await expectWholeAt('destination');
    expect(source.reconnects).toBeGreaterThan(2);
    expect(source.tally.sentAgain).toBeGreaterThan(0);
    expect(hosts.sourceEvents.some(({ kind }) => kind === 'linkLost')).toBe(true);
    expect(hosts.sourceEvents.some(({ kind }) => kind === 'linkBack')).toBe(true);
    // A page that came twice was installed once.
    expect(destination.tally.arrived).toBe(600 + source.tally.arrived);
  });

  test('while the link is silent VMs go on with the pages that are here, and only with those', async () => {
    await openRunning({ pages: 100, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('b').pause();
    await hosts.stopAndMove('a', (vm) => vm.run(0, 7));
    await allGoOnWith('a');
    hosts.link.hold();
    await allGoOnWith('a');
    hosts.vm('b').run(0, 8);
    await allGoOnWith('b');
    hosts.vm('a').run(0, 9);
    await waitUntil('a waits', () => hosts.vm('a').at === 9);
    hosts.link.restore();
    await allGoOnWith('a');
    hosts.vm('b').run();
    await hosts.sourceEvent('stopVm');
    await hosts.stopAndMove('b');
    await hosts.completed();
    await expectWholeAt('destination');
  });

  async function allGoOnWith(vm: string): Promise<void> {
    const before = hosts.vm(vm).accesses;
    await waitUntil(`${vm} goes on`, () => hosts.vm(vm).accesses > before + 100);
  }

  test('a VM that was continued after its stop goes on here, and is stopped for good the second time', async () => {
    await openRunning({ pages: 100, vms: ['a', 'b'] });
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
    await expectWholeAt('destination');
  });

  test('what is asked for before it begins waits, and is given then', async () => {
    await openRunning({ pages: 50, vms: ['a'] });
    await hosts.startSource().ready;
    await hosts.vm('a').pause();
    hosts.source.vmStopped('a');
    await hosts.arrive('a');
    hosts.vm('a').run(0, 7);
    const { destination } = hosts;
    await waitUntil('it is asked for again', async () => (await destination!.report()).tally.askedAgain > 0);
    expect(await hosts.source.report()).toMatchObject({ pagesHere: 50, sent: { dataPages: 0, zeroPages: 0 } });
    hosts.source.begin();
    await allGoOn();
    hosts.source.vmLeft('a');
    await hosts.completed();
    await expectWholeAt('destination');
  });

  test('cancelled before it begins: everything is as it was found', async () => {
    await openRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    expect([userfaultfdsOf('a'), userfaultfdsOf('b')]).toEqual([1, 1]);
    await allGoOn();
    await hosts.source.cancel();
    await hosts.destinationEvent('cancelled');
    await hosts.destination!.ended;
    expect([userfaultfdsOf('a'), userfaultfdsOf('b')]).toEqual([0, 0]);
    await allGoOn();
    await expectWholeAt('source');
    expect(() => hosts.source.begin()).toThrow(expect.objectContaining({ code: 'GW_CONFLICT' }));
  });

  test('a cancel is refused once pages may have moved', async () => {
    await openRunning({ pages: 10, vms: ['a'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await expect(hosts.source.cancel()).rejects.toMatchObject({ code: 'GW_CONFLICT' });
    await hosts.completed();
    await expectWholeAt('destination');
  });

  test('the link is lost before it begins, and it is cancelled: everything is as it was found, and the destination gives up', async () => {
    await openRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.source.report();
    hosts.link.cut();
    await hosts.sourceEvent('linkLost');
    await hosts.destinationEvent('cancelled');
    expect([userfaultfdsOf('a'), userfaultfdsOf('b')]).toEqual([1, 1]);
    await hosts.source.cancel();
    await Promise.all([hosts.source.ended, hosts.destination!.ended]);
    expect([userfaultfdsOf('a'), userfaultfdsOf('b')]).toEqual([0, 0]);
    expect(() => hosts.source.begin()).toThrow(expect.objectContaining({ code: 'GW_CONFLICT' }));
    await allGoOn();
    await expectWholeAt('source');
  });

  test('the link is lost in the moment in which the first VM is committed: it begins on the next one', async () => {
    await openRunning({ pages: 100, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('a').pause();
    hosts.source.vmStopped('a');
    await hosts.arrive('a');
    hosts.link.cut();
    await hosts.sourceEvent('linkLost');
    hosts.link.restore();
    hosts.source.begin();
    hosts.source.vmLeft('a');
    hosts.vm('a').run();
    await hosts.moveAsStopped(1);
    await hosts.completed();
    await allGoOn();
    await expectWholeAt('destination');
  });

  test('the destination gives it up before its first page has come, because its only VM has ended: it is offered anew', async () => {
    await openRunning({ pages: 100, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('a').pause();
    hosts.source.vmStopped('a');
    await hosts.arrive('a');
    const first = hosts.destination!;
    hosts.link.cut();
    await hosts.sourceEvent('linkLost');
    await hosts.vm('a').kill();
    await first.ended;
    hosts.source.begin();
    hosts.source.vmLeft('a');
    hosts.link.restore();
    await waitUntil('it is offered anew', () => hosts.destination !== first);
    await hosts.vm('b').pause();
    await hosts.stopAndMove('b');
    await hosts.completed();
    await hosts.vm('a').start(hosts.path.destination);
    await allGoOnWith('b');
    await expectWholeAt('destination');
  });

  test('the source comes back when the destination has had everything and has ended: what was not acknowledged is freed', async () => {
    await openRunning({ pages: 100, vms: ['a'] });
    await hosts.startSource().ready;
    await hosts.source.report();
    // Nothing that the destination says arrives.
    hosts.link.shape({ delayMs: 600_000 }, 'down');
    await hosts.stopAndMove('a');
    await hosts.destinationEvent('completed');
    await hosts.destination!.cancel();
    hosts.link.cut();
    await hosts.sourceEvent('linkLost');
    expect(await hosts.source.report()).toMatchObject({ pagesHere: 0, tally: { pushed: 100 } });
    hosts.whenGone = 'over';
    hosts.link.shape({ delayMs: 0 }, 'down');
    hosts.link.restore();
    await hosts.completed();
    await expectWholeAt('destination');
  });

  test('a refusal of the destination is told, and nothing is left watched', async () => {
    const refusal = new GodwitError('GW_MIGRATION_REFUSED', { host: 'b', vm: 'a', reason: 'no room' });
    await openRunning({ pages: 10, vms: ['a'], refusal });
    await expect(hosts.startSource().ready).rejects.toMatchObject({ code: 'GW_MIGRATION_REFUSED' });
    expect(userfaultfdsOf('a')).toBe(0);
    expect(hosts.sourceEvents).toEqual([]);
  });

  test('a QEMU that is watched already is told, and the others are left as found', async () => {
    await openRunning({ pages: 10, vms: ['a', 'b'] });
    const { pid, hostAddress } = hosts.vm('b').watched;
    using other = Userfaultfd.openInside(pid, { features: REGION_FEATURES, keepInside: false });
    other.register(hostAddress, 4096, { missing: true });
    await expect(hosts.startSource().ready).rejects.toMatchObject({ details: { errno: 'EBUSY' } });
    expect([userfaultfdsOf('a'), userfaultfdsOf('b')]).toEqual([0, 0]);
  });

  test('who shows another key gets no connection of the region', async () => {
    await openRunning({ pages: 10, vms: ['a'] });
    await hosts.startSource().ready;
    const life = new AbortController();
    const notes: string[] = [];
    const route = { to: hosts.address, hostName: 'x', dscp: null, sessionKey: newSessionKey(), life: life.signal };
    const fd = await redialRegion(route, {
      onUnknown: () => notes.push('unknown'),
      onOver: () => notes.push('over'),
      takeOffer: () => undefined,
      note(text) {
        notes.push(text);
        life.abort();
      },
    });
    expect(fd).toBeUndefined();
    expect(notes).toEqual(['unknown', expect.stringMatching(/no migration with this session key/)]);
    await hosts.stopAndMove('a');
    await hosts.completed();
    await expectWholeAt('destination');
  });

  test('a QEMU of the destination ends by itself: the others go on, and everything comes to its end', async () => {
    await openRunning({ pages: 100, vms: ['a', 'b', 'c'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.moveAsStopped(1);
    await hosts.vm('a').kill();
    await hosts.moveAsStopped(1);
    await hosts.completed();
    await hosts.vm('a').start(hosts.path.destination);
    await expectWholeAt('destination');
  });

  test('a destination that is full waits for memory, and goes on when there is some', async () => {
    await openRunning({ pages: 100, vms: ['a'], roomPages: 30 });
    await waitUntil('all of it is used', () => hosts.pagesIn('source') === 100);
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await hosts.destinationEvent('noted');
    hosts.grow(200);
    const { destination } = await hosts.completed();
    await allGoOn();
    await expectWholeAt('destination');
    expect(destination.durations.noMemoryMs).toBeGreaterThan(0);
    expect(destination.tally.arrivedAgain).toBe(0);
  });

  test('what is pushed keeps to the bandwidth of the host', async () => {
    const budget = HostBudget.create(4_000_000);
    await openRunning({ pages: 500, vms: ['a'], budget: budget.buffer });
    await waitUntil('all of it is used', () => hosts.pagesIn('source') === 500);
    await hosts.startSource().ready;
    await hosts.stopAndMove('a', () => undefined);
    const { source } = await hosts.completed();
    await expectWholeAt('destination');
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
    await expectWholeAt('destination');
  });
});

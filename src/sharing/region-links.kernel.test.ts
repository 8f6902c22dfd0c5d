/** The connection of a region that VMs share: cut, silent, lost before anything has moved, and found again. */
import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import type { RegionHosts } from '../../test/support/region-hosts.ts';
import { allGoOn, expectWholeAt, goesOn, startRunning, userfaultfdsOf } from '../../test/support/region-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import { redialRegion } from './region-dialer.ts';

requireCapability('kernel', 'cc')('the connection of a region that VMs share', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  test.each(withFurther([1], [2, 3]))('the link is cut now and then: nothing is lost, old or double (%i)', async () => {
    await using resources = new AsyncDisposableStack();
    hosts = await startRunning({ pages: 600, vms: ['a', 'b', 'c'] });
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
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
    expect(source.reconnects).toBeGreaterThan(2);
    expect(source.tally.sentAgain).toBeGreaterThan(0);
    expect(hosts.sourceEvents.some(({ kind }) => kind === 'linkLost')).toBe(true);
    expect(hosts.sourceEvents.some(({ kind }) => kind === 'linkBack')).toBe(true);
    // A page that came twice was installed once.
    expect(destination.tally.arrived).toBe(600 + source.tally.arrived);
  });

  test('while the link is silent VMs go on with the pages that are here, and only with those', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.vm('b').pause();
    await hosts.stopAndMove('a', (vm) => vm.run(0, 7));
    await goesOn(hosts, 'a');
    hosts.link.hold();
    await goesOn(hosts, 'a');
    hosts.vm('b').run(0, 8);
    await goesOn(hosts, 'b');
    hosts.vm('a').run(0, 9);
    await waitUntil('a waits', () => hosts.vm('a').at === 9);
    hosts.link.restore();
    await goesOn(hosts, 'a');
    hosts.vm('b').run();
    await hosts.sourceEvent('stopVm');
    await hosts.stopAndMove('b');
    await hosts.completed();
    await expectWholeAt(hosts, 'destination');
  });

  test('the link is lost before it begins, and it is cancelled: everything is as it was found, and the destination gives up', async () => {
    hosts = await startRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.source.report();
    hosts.link.cut();
    await hosts.sourceEvent('linkLost');
    await hosts.destinationEvent('cancelled');
    expect([userfaultfdsOf(hosts, 'a'), userfaultfdsOf(hosts, 'b')]).toEqual([1, 1]);
    await hosts.source.cancel();
    await Promise.all([hosts.source.ended, hosts.destination!.ended]);
    expect([userfaultfdsOf(hosts, 'a'), userfaultfdsOf(hosts, 'b')]).toEqual([0, 0]);
    expect(() => hosts.source.begin()).toThrow(expect.objectContaining({ code: 'GW_CONFLICT' }));
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'source');
  });

  test('the link is lost in the moment in which the first VM is committed: it begins on the next one', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a', 'b'] });
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
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
  });

  test('the destination gives it up before its first page has come, because its only VM has ended: it is offered anew', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a', 'b'] });
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
    // It is there now: who comes back joins it, and does not offer it once more.
    const links = hosts.sourceEvents.filter(({ kind }) => kind === 'linkBack').length;
    hosts.link.cut();
    hosts.link.restore();
    await waitUntil(
      'the link is back',
      () => hosts.sourceEvents.filter(({ kind }) => kind === 'linkBack').length > links,
    );
    expect(hosts.offers).toBe(2);
    await hosts.vm('b').pause();
    await hosts.stopAndMove('b');
    await hosts.completed();
    await hosts.vm('a').start(hosts.path.destination);
    await goesOn(hosts, 'b');
    await expectWholeAt(hosts, 'destination');
  });

  test('the source comes back when the destination has had everything and has ended: what was not acknowledged is freed', async () => {
    hosts = await startRunning({ pages: 100, vms: ['a'] });
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
    await expectWholeAt(hosts, 'destination');
  });

  test('who shows another key gets no connection of the region', async () => {
    hosts = await startRunning({ pages: 10, vms: ['a'] });
    await hosts.startSource().ready;
    const life = new AbortController();
    const notes: string[] = [];
    const route = {
      to: hosts.address,
      hostName: 'x',
      dscp: null,
      tls: null,
      sessionKey: newSessionKey(),
      life: life.signal,
    };
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
    await expectWholeAt(hosts, 'destination');
  });
});

/** A region that VMs share before its first page moves: what is refused or cancelled leaves everything as it was found. */
import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import type { RegionHosts } from '../../test/support/region-hosts.ts';
import { allGoOn, expectWholeAt, startRunning, userfaultfdsOf } from '../../test/support/region-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { GodwitError } from '../base/errors.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { REGION_FEATURES } from '../migration/shared-part.ts';

requireCapability('kernel', 'cc')('a region that VMs share, before it moves', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  test('what is asked for before it begins waits, and is given then', async () => {
    hosts = await startRunning({ pages: 50, vms: ['a'] });
    await hosts.startSource().ready;
    await hosts.vm('a').pause();
    hosts.source.vmStopped('a');
    await hosts.arrive('a');
    hosts.vm('a').run(0, 7);
    const { destination } = hosts;
    await waitUntil('it is asked for again', async () => (await destination!.report()).tally.askedAgain > 0);
    expect(await hosts.source.report()).toMatchObject({ pagesHere: 50, sent: { dataPages: 0, zeroPages: 0 } });
    hosts.source.begin();
    await allGoOn(hosts);
    hosts.source.vmLeft('a');
    await hosts.completed();
    await expectWholeAt(hosts, 'destination');
  });

  test('cancelled before it begins: everything is as it was found', async () => {
    hosts = await startRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    expect([userfaultfdsOf(hosts, 'a'), userfaultfdsOf(hosts, 'b')]).toEqual([1, 1]);
    await allGoOn(hosts);
    await hosts.source.cancel();
    await hosts.destinationEvent('cancelled');
    await hosts.destination!.ended;
    expect([userfaultfdsOf(hosts, 'a'), userfaultfdsOf(hosts, 'b')]).toEqual([0, 0]);
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'source');
    expect(() => hosts.source.begin()).toThrow(expect.objectContaining({ code: 'GW_CONFLICT' }));
  });

  test('a cancel is refused once pages may have moved', async () => {
    hosts = await startRunning({ pages: 10, vms: ['a'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    await expect(hosts.source.cancel()).rejects.toMatchObject({ code: 'GW_CONFLICT' });
    await hosts.completed();
    await expectWholeAt(hosts, 'destination');
  });

  test('a refusal of the destination is told, and nothing is left watched', async () => {
    const refusal = new GodwitError('GW_MIGRATION_REFUSED', { host: 'b', vm: 'a', reason: 'no room' });
    hosts = await startRunning({ pages: 10, vms: ['a'], refusal });
    await expect(hosts.startSource().ready).rejects.toMatchObject({ code: 'GW_MIGRATION_REFUSED' });
    expect(userfaultfdsOf(hosts, 'a')).toBe(0);
    expect(hosts.sourceEvents).toEqual([]);
  });

  test('a QEMU that is watched already is told, and the others are left as found', async () => {
    hosts = await startRunning({ pages: 10, vms: ['a', 'b'] });
    const { pid, hostAddress } = hosts.vm('b').watched;
    using other = Userfaultfd.openInside(pid, { features: REGION_FEATURES, keepInside: false });
    other.register(hostAddress, 4096, { missing: true });
    await expect(hosts.startSource().ready).rejects.toMatchObject({ details: { errno: 'EBUSY' } });
    expect([userfaultfdsOf(hosts, 'a'), userfaultfdsOf(hosts, 'b')]).toEqual([0, 0]);
  });
});

import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { RegionHosts, type RegionHostsOptions } from '../../test/support/region-hosts.ts';
import { readSharedWords } from '../../test/support/sharer.ts';
import { waitUntil } from '../../test/support/wait-until.ts';

requireCapability('kernel', 'cc')('a region that VMs share moves', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  /** Every VM runs and has added something. */
  async function openRunning(options: RegionHostsOptions): Promise<void> {
    hosts = await RegionHosts.open(options);
    for (const vm of hosts.vms.values()) vm.run(50);
    for (const vm of hosts.vms.values()) await waitUntil('it runs', () => vm.accesses > 100);
  }

  /** Nothing was lost, nobody has seen anything old, and all of it is at the destination. */
  async function expectWhole(): Promise<void> {
    for (const vm of hosts.vms.values()) await vm.pause();
    expect(readSharedWords(hosts.path.destination, hosts.pages)).toEqual(hosts.added());
    expect([...hosts.vms.values()].map(({ errors }) => errors)).toEqual([...hosts.vms.values()].map(() => 0));
    expect(hosts.pagesIn('source')).toBe(0);
  }

  test('two VMs, the second one stopped by its first access to a page that has gone', async () => {
    await openRunning({ pages: 200, vms: ['a', 'b'] });
    await hosts.startSource().ready;
    await hosts.stopAndMove('a');
    const stop = await hosts.sourceEvent('stopVm');
    expect(stop).toMatchObject({ vm: 'b', forGood: false });
    await hosts.stopAndMove('b');
    const { source, destination } = await hosts.completed();
    await expectWhole();
    expect(source.stoppingAccesses).toMatchObject([{ vm: 'b', page: stop.page }]);
    console.log(JSON.stringify({ source, destination }, null, 1));
  });
});

/** Threads of regions that end in the middle, and others that go on: what happens when a daemon is killed and started again. */
import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import type { RegionHosts, RegionHostsOptions } from '../../test/support/region-hosts.ts';
import { allGoOn, expectWholeAt, startRunning } from '../../test/support/region-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { endLeftWatch } from './left-watch.ts';

requireCapability('kernel', 'cc')('a region of which a side is started again', () => {
  let hosts: RegionHosts;

  afterEach(() => hosts[Symbol.asyncDispose]());

  async function open(options: RegionHostsOptions): Promise<void> {
    hosts = await startRunning(options);
    await hosts.startSource().ready;
  }

  async function expectWhole(): Promise<void> {
    await hosts.completed();
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'destination');
  }

  /** They have a link again when this resolves. */
  async function restart(...sides: readonly ('source' | 'destination')[]): Promise<void> {
    const links = (): number => hosts.sourceEvents.filter(({ kind }) => kind === 'linkBack').length;
    const before = links();
    if (sides.includes('source')) await hosts.restartSource();
    if (sides.includes('destination')) await hosts.restartDestination();
    await waitUntil('there is a link again', () => links() > before);
  }

  test.each([
    'source',
    'destination',
  ] as const)('the %s, while the group is divided: who waits is served, and VMs follow', async (side) => {
    await open({ pages: 200, vms: ['a', 'b', 'c'] });
    await hosts.stopAndMove('a');
    await restart(side);
    await hosts.moveAsStopped(1);
    await restart(side);
    await hosts.moveAsStopped(1);
    await expectWhole();
  });

  test('the destination, killed while it ended its watches, with every page: the end is told all the same', async () => {
    await open({ pages: 50, vms: ['a', 'b'] });
    await hosts.vm('b').pause();
    await hosts.stopAndMove('a');
    await waitUntil('every page is there', async () => (await hosts.source.report()).pagesHere === 0);
    await hosts.restartDestination((vm) => endLeftWatch(vm, vm.insideFd, 50 * PAGE_SIZE));
    await hosts.stopAndMove('b');
    await expectWhole();
  });

  test('both, again and again, also while the rest is pushed', async () => {
    await open({ pages: 3000, vms: ['a', 'b', 'c'] });
    await hosts.stopAndMove('a');
    for (const _ of withFurther([1, 2], [3, 4])) await restart('source', 'destination');
    await hosts.moveAsStopped(2);
    await Promise.all([hosts.restartSource(), hosts.restartDestination()]);
    await expectWhole();
  });

  test('the source, which cannot write down what it watches: nobody gets zeros, and the next one goes on', async () => {
    await open({ pages: 200, vms: ['a', 'b'] });
    await hosts.stopAndMove('a');
    hosts.isDiskFull = true;
    await expect(hosts.restartSource()).rejects.toThrow('no space left');
    hosts.isDiskFull = false;
    await restart('source');
    await hosts.moveAsStopped(1);
    await expectWhole();
  });

  test('the source, before it has begun: it can begin, or be cancelled', async () => {
    await open({ pages: 100, vms: ['a', 'b'] });
    await hosts.restartSource();
    expect(hosts.source.hasBegun).toBe(false);
    await allGoOn(hosts);
    await hosts.source.cancel();
    await allGoOn(hosts);
    await expectWholeAt(hosts, 'source');
  });
});

/** How a VM writes is sampled while no migration has it (B1), and whoever wants the VM has it at once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { HistoryView } from '../../src/api/history-schema.ts';
import { requireCapability } from '../support/capability.ts';
import { completedReport, createTinyVm, HostPair, isFree, type ReachedHost } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { listMarks, noMarks } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'sampled';
/** Written over and over: whoever looks finds these, and hardly anything else. */
const WORKING_PAGES = 300;

let pair: HostPair;

function isTracked(pid: number): boolean {
  return listMarks(pid).some((mark) => mark.startsWith('registered'));
}

async function sampledAt(at: ReachedHost, count: number): Promise<HistoryView> {
  return await waitUntil(`${count} samples`, async () => {
    const history = await at.client.vmHistory(VM);
    return history.samples.filter(({ points }) => points.length > 0).length >= count ? history : undefined;
  });
}

requireCapability('vm')('the history of a VM', () => {
  beforeAll(async () => {
    pair = await HostPair.open({ args: ['--sample-every', '1s'] });
    const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES };
    await createTinyVm(pair.a, { name: VM, guest });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('shows its working set, and after a window the VM is not tracked', async () => {
    const { pid } = await pair.a.client.showVm(VM);
    const { samples } = await sampledAt(pair.a, 1);
    const { points, pagesPerSecond } = samples.at(-1)!;
    expect(points.length).toBeGreaterThan(3);
    for (const { pages } of points.slice(1)) {
      expect(pages).toBeGreaterThanOrEqual(WORKING_PAGES);
      expect(pages).toBeLessThan(WORKING_PAGES * 1.5);
    }
    expect(pagesPerSecond).toBeGreaterThan(WORKING_PAGES * 0.9);
    await waitUntil('a moment between two windows', () => !isTracked(pid!), { intervalMs: 5 });
  });

  test('a migration that comes in the middle of a window is not in its way, and takes the history along', async () => {
    const { pid } = await pair.a.client.showVm(VM);
    await waitUntil('the VM is tracked', () => isTracked(pid!));
    const before = (await pair.a.client.vmHistory(VM)).samples.length;
    completedReport(await pair.move(VM, { mode: 'pre-copy' }));
    await isFree(pair.b, VM);
    expect((await pair.b.client.vmHistory(VM)).samples.length).toBeGreaterThanOrEqual(before);
    // There it goes on.
    await sampledAt(pair.b, 1);
    await pair.b.client.actOnVm(VM, 'pause');
    const { pid: there } = await pair.b.client.showVm(VM);
    await noMarks(there!);
    await pair.b.client.actOnVm(VM, 'resume');
    await runsIntact(pair, VM, pair.b);
  });
});

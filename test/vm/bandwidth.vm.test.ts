/** One bandwidth limit for all migrations of a host, and the mark of their packets. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { requireCapability } from '../support/capability.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const MIB = 2 ** 20;
const VMS = ['first', 'second'] as const;
const LIMIT_BYTES_PER_SECOND = 8 * MIB;
/** 32 MiB each: together eight seconds at the limit. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 8192 };

let pair: HostPair;
/** One for each VM, so that what it sends can be told apart. */
let links: readonly LinkProxy[];

/** Bytes a second over each link. */
async function ratesOver(ms: number): Promise<number[]> {
  const before = links.map(({ bytes }) => bytes.up);
  const fromMs = performance.now();
  await delay(ms);
  const seconds = (performance.now() - fromMs) / 1000;
  return links.map(({ bytes }, index) => (bytes.up - before[index]!) / seconds);
}

async function beginBoth(): Promise<readonly WatchedMigration[]> {
  return await Promise.all(
    VMS.map((vm, index) => {
      const to = links[index]!.address;
      return beginMigration(pair.a, vm, { to, mode: 'pre-copy', verify: true, without: [...PACKING_STEPS] });
    }),
  );
}

requireCapability('vm')('two VMs that leave a host at once', () => {
  beforeAll(async () => {
    const args = ['--bandwidth', `${LIMIT_BYTES_PER_SECOND / MIB}MiB/s`, '--dscp', 'cs1'];
    pair = await HostPair.open({ args });
    links = [await LinkProxy.open(pair.b.host.migration), await LinkProxy.open(pair.b.host.migration)];
    for (const name of VMS) {
      const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: 256, restMicroseconds: 1000, fill: FILL };
      await createTinyVm(pair.a, { name, guest });
    }
  });
  afterAll(async () => {
    for (const link of links ?? []) await link[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  test('keep its limit together, each has half of it, and a new one holds at once', async () => {
    const migrations = await beginBoth();
    await waitUntil('both send', () => links.every(({ bytes }) => bytes.up > MIB / 2));
    const slow = await ratesOver(2000);
    const together = slow[0]! + slow[1]!;
    expect(together).toBeGreaterThan(LIMIT_BYTES_PER_SECOND * 0.9);
    expect(together).toBeLessThan(LIMIT_BYTES_PER_SECOND * 1.1);
    for (const rate of slow) expect(Math.abs(rate / together - 0.5)).toBeLessThan(0.05);

    await pair.a.host.json(['bandwidth', '16MiB/s']);
    const faster = await ratesOver(1000);
    expect(faster[0]! + faster[1]!).toBeGreaterThan(2 * LIMIT_BYTES_PER_SECOND * 0.9);
    expect(faster[0]! + faster[1]!).toBeLessThan(2 * LIMIT_BYTES_PER_SECOND * 1.1);

    await pair.a.client.tuneHost({ bandwidthBytesPerSecond: 0 });
    for (const { ended } of migrations) expect(completedReport(await ended).verify).toMatchObject({ equal: true });
    for (const vm of VMS) await runsIntact(pair, vm, pair.b);
  });
});

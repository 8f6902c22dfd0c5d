/** The threads that ask for missing pages and answer die in post-copy: pages and VM are there still, so it goes on. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { FaultPoint } from '../../src/migration/fault-points.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  type ReachedHost,
  WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'waiting';
const MIB = 2 ** 20;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
/** 16 MiB take two seconds, in which the guest faults without a break. */
const SLOW_BYTES_PER_SECOND = 8 * MIB;

let pair: HostPair;
let faulty: ReachedHost | undefined;

async function failAt(at: ReachedHost, point: FaultPoint, ...nths: readonly number[]): Promise<void> {
  faulty = at;
  await at.host.stop();
  await at.host.start({ GODWIT_FAULT: nths.map((nth) => `${point}:${nth}`).join(',') });
}

/** As the destination has logged them, whichever daemon. */
function countDeaths(): number {
  return pair.b.host.log.split('Faults are not answered any more').length - 1;
}

requireCapability('vm')('a page service that dies', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { fill: FILL } });
  });
  beforeEach(() => pair.bring(VM, pair.a));
  afterEach(async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    await faulty?.host.stop();
    await faulty?.host.start();
    faulty = undefined;
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  furtherTest('at the source: the next connection has another one', async () => {
    await failAt(pair.a, 'pageRequest', 3);
    pair.link.shape({ bytesPerSecond: SLOW_BYTES_PER_SECOND });
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'post-copy', verify: true });
    await migration.reaches('serving');
    const seen = { state: 'leaving', owner: 'b', migration: migration.id };
    expect(await pair.a.client.listVms()).toEqual([expect.objectContaining(seen)]);
    expect(await pair.a.client.showVm(VM)).toMatchObject(seen);
    const report = completedReport(await migration.ended);
    expect(await pair.a.client.listVms()).toEqual([]);
    expect(migration.notes.join('\n')).toContain('Page requests are not answered any more');
    expect(report.postCopy?.reconnects).toBeGreaterThan(0);
    expect(report.interrupted).toBe(false);
    await runsIntact(pair, VM, pair.b);
    await nothingRemains(pair.a, VM);
  });

  test.each([
    [[3, 6]],
  ])('at the destination (answers %j): the migration goes on where its journal ends', async (nths) => {
    const deathsBefore = countDeaths();
    await failAt(pair.b, 'pageAnswer', ...nths);
    pair.link.shape({ bytesPerSecond: SLOW_BYTES_PER_SECOND });
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'post-copy' });
    await migration.reaches('serving');
    const there = new WatchedMigration(pair.b, migration.id);
    expect(completedReport(await migration.ended)).toMatchObject({ interrupted: true });
    expect((await there.ended).report).toMatchObject({ outcome: 'completed', owner: 'b', interrupted: true });
    expect(countDeaths()).toBe(deathsBefore + nths.length);
    await runsIntact(pair, VM, pair.b);
    await nothingRemains(pair.a, VM);
  });
});

/**
 * What a VM of a group waits when the group moves (R1–R7), beside the same VM alone and beside a group that is paused for it.
 *
 * Owns: the cases. Must hold: they take turns; every case has VMs of its own. `paused` is what one can do without following
 * single pages: stop all VMs, move all memory, let them go on. godwit moves it too, packed and the region once, so that the
 * difference is the pause and not the tool.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GROUP_ORDERS, type GroupMigrationView, type GroupOrder } from '../src/api/group-migration-schema.ts';
import { explain } from '../src/base/errors.ts';
import { PAGE_SIZE } from '../src/base/page.ts';
import type { RegionReport } from '../src/sharing/region-report.ts';
import { GodwitHosts } from './godwit-hosts.ts';
import { GroupVms, REGION_BYTES } from './group-vms.ts';
import type { RunResult } from './measure.ts';
import { GIGABIT, type Link, type NetworkPair, UNSHAPED } from './network.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';

export interface GroupCase {
  /** Such as `group@1gbit/godwit-together`. */
  readonly name: string;
  readonly link: Link;
  readonly way: GroupOrder | 'alone' | 'paused';
}

type Arrived = Pick<RegionReport, 'faults' | 'lentFaults' | 'tally' | 'received'>;

const POLL_MS = 50;
const MOVE_TIMEOUT_MS = 120_000;

export const GROUP_CASES: readonly GroupCase[] = [GIGABIT, UNSHAPED].flatMap((link) =>
  [...GROUP_ORDERS, 'alone' as const, 'paused' as const].map((way): GroupCase => {
    return { name: `group@${link.name}/${way === 'paused' ? way : `godwit-${way}`}`, link, way };
  }),
);

/** Series: `CASE/NUMBER`, `downtimeMs` with a sample for each VM of each run. */
export async function measureGroups(
  bench: Bench,
  network: NetworkPair,
  wanted: readonly GroupCase[],
  runs: number,
  results: Results,
  told: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  if (wanted.length === 0) return;
  const directory = join(bench.directory, 'groups');
  mkdirSync(directory);
  await using hosts = await GodwitHosts.start(directory);
  for (let round = 0; round < runs; round++) {
    for (const [index, each] of wanted.entries()) {
      if (stop.aborted) return;
      told(`${each.name}, run ${round + 1} of ${runs}`);
      await network.use(each.link);
      // Short: it becomes a part of paths of sockets.
      const result = await measureOne(bench, hosts, each, `g${process.pid}-${round}${index}`, results).catch(
        (error: unknown): RunResult => ({ kind: 'failed', reason: explain(error) }),
      );
      results.addRun(each.name, result);
      told(`${each.name}: ${JSON.stringify(result)}`);
    }
  }
}

async function measureOne(
  bench: Bench,
  hosts: GodwitHosts,
  { name, way }: GroupCase,
  vmName: string,
  results: Results,
): Promise<RunResult> {
  await using vms = await GroupVms.start(bench, hosts, vmName, way !== 'alone');
  const { source, destination } = hosts;
  const startedAtMs = performance.now();
  if (way === 'paused') await vms.actOnAll(source, 'pause');
  const view = way === 'alone' ? await moveAlone(hosts, vms.names[0]!) : await moveGroup(hosts, vms.region, way);
  if (way === 'paused') await vms.actOnAll(destination, 'resume');
  const totalMs = performance.now() - startedAtMs;
  const downtimes = await vms.downtimes();
  for (const downtime of downtimes) results.add(`${name}/downtimeMs`, downtime);
  const numbers = {
    totalMs,
    worstDowntimeMs: Math.max(...downtimes),
    ...(view ? await regionNumbers(hosts, view) : {}),
  };
  return { kind: 'measured', numbers, damage: await vms.findDamage() };
}

async function moveAlone({ source, destination }: GodwitHosts, vm: string): Promise<undefined> {
  const { report } = await source.client.migrateAndWait(vm, { to: destination.migrationAddress });
  if (report?.outcome !== 'completed') throw new Error(report?.error?.message ?? 'it has no report');
}

async function moveGroup(
  { source, destination }: GodwitHosts,
  region: string,
  way: GroupOrder | 'paused',
): Promise<GroupMigrationView> {
  const request = way === 'paused' ? { mode: 'pre-copy' as const } : { order: way };
  const { id } = await source.client.migrateGroup(region, { to: destination.migrationAddress, ...request });
  const deadlineMs = performance.now() + MOVE_TIMEOUT_MS;
  for (;;) {
    const view = await source.client.showGroupMigration(id);
    if (view.state === 'completed') return view;
    if (view.totalMs !== null) throw new Error(view.error?.message ?? `it has ${view.state}`);
    if (performance.now() > deadlineMs) throw new Error(`it does not end: ${JSON.stringify(view)}`);
    await delay(POLL_MS);
  }
}

/** By the other host, which has waited for the pages. */
async function regionNumbers({ destination }: GodwitHosts, view: GroupMigrationView): Promise<Record<string, number>> {
  const { requestedPages, pushedPages, lentPages, sentAgainPages } = view.regions[0]!;
  const { faults, lentFaults, tally, received } = await arrivedOf(destination, view.group);
  return {
    faults: faults.count,
    faultMicrosecondsP50: faults.p50Microseconds,
    faultMicrosecondsP99: faults.p99Microseconds,
    faultMicrosecondsMax: faults.maxMicroseconds,
    lentFaults: lentFaults.count,
    lentFaultMicrosecondsP50: lentFaults.p50Microseconds,
    lentFaultMicrosecondsP99: lentFaults.p99Microseconds,
    requestedPages,
    pushedPages,
    lentPages,
    sentAgainPages,
    // Every page once, and once more each time that it had been lent.
    sentTwice: received.dataPages + received.zeroPages - REGION_BYTES / PAGE_SIZE - tally.givenOnRequest,
    calledVms: view.members.filter(({ stoppedBy }) => stoppedBy !== null).length,
  };
}

async function arrivedOf(host: { readonly log: Record<string, unknown>[] }, region: string): Promise<Arrived> {
  const deadlineMs = performance.now() + MOVE_TIMEOUT_MS;
  for (;;) {
    const line = host.log.find((each) => each['region'] === region && each['faults'] !== undefined);
    if (line) return line as unknown as Arrived;
    if (performance.now() > deadlineMs) throw new Error(`The other host does not say that ${region} is there`);
    await delay(POLL_MS);
  }
}

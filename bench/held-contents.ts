/**
 * What a destination's holding of pages saves: a VM that comes back after a while, and a second VM of the same image.
 *
 * Owns: two hosts that keep what VMs leave and are of one fleet; others of the bench must not be, or one run would spare
 * the next one its bytes.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { median } from '../src/base/statistics.ts';
import { type GodwitHost, GodwitHosts } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { GIGABIT, type Link, type NetworkPair, SLOW } from './network.ts';
import { vmSpec } from './qemu-system.ts';
import type { Results } from './results.ts';
import { type Bench, wallMs } from './system.ts';
import { alignColumns } from './table.ts';
import { IDLE, LIGHT } from './workloads.ts';

export interface HeldCase {
  readonly name: string;
  readonly kind: 'returning' | 'second';
  readonly link: Link;
}

export const HELD_CASES: readonly HeldCase[] = [
  { name: 'returning@1gbit', kind: 'returning', link: GIGABIT },
  { name: 'returning@200mbit', kind: 'returning', link: SLOW },
  { name: 'same-image@1gbit', kind: 'second', link: GIGABIT },
];

/** Beside the port of the hosts of the other runs. */
const MIGRATION_PORT = 7711;
const WARM_UP_MS = 4_000;
const AWAY_MS = 120_000;
const KEPT_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

export async function measureHeld(
  bench: Bench,
  network: NetworkPair,
  { kind, link, name }: HeldCase,
  results: Results,
  runName: string,
): Promise<void> {
  const directory = join(bench.directory, runName);
  mkdirSync(directory);
  const keyPath = join(directory, 'key');
  writeFileSync(keyPath, `a key of the bench, ${runName}, and long enough\n`);
  const args = ['--keep-visits', '4GiB', '--fleet-key-file', keyPath];
  await network.use(link);
  await using hosts = await GodwitHosts.start(directory, { migrationPort: MIGRATION_PORT, args });
  const { source, destination } = hosts;
  const vms = kind === 'returning' ? [runName] : [runName, `${runName}-2`];
  for (const vm of vms) await create(bench, source, vm, kind === 'returning' ? LIGHT : IDLE);
  await delay(WARM_UP_MS);
  const first = await move(network, source, destination, vms[0]!);
  // What VMs leave is kept at once, what runs is looked through after some seconds.
  await kept(join(directory, kind === 'returning' ? 's/visits' : 'd/contents'));
  if (kind === 'returning') await delay(AWAY_MS);
  const again =
    kind === 'returning'
      ? await move(network, destination, source, vms[0]!)
      : await move(network, source, destination, vms[1]!);
  results.add(`${name}/firstMegabytes`, first.megabytes);
  results.add(`${name}/againMegabytes`, again.megabytes);
  results.add(`${name}/againOfFirstPercent`, (100 * again.megabytes) / first.megabytes);
  results.add(`${name}/firstTotalMs`, first.totalMs);
  results.add(`${name}/againTotalMs`, again.totalMs);
  results.add(`${name}/firstDowntimeMs`, first.downtimeMs);
  results.add(`${name}/againDowntimeMs`, again.downtimeMs);
  results.add(`${name}/missedReferences`, again.missedReferences);
}

/** Empty when none has run. */
export function renderHeld(results: Results): string[] {
  const rows = HELD_CASES.flatMap(({ name }) => {
    const runs = results.samples(`${name}/againMegabytes`).length;
    if (runs === 0) return [];
    const of = (number: string): number => median(results.samples(`${name}/${number}`));
    const seconds = [of('firstTotalMs'), of('againTotalMs')].map((ms) => (ms / 1000).toFixed(2));
    const megabytes = [of('firstMegabytes'), of('againMegabytes'), of('againOfFirstPercent')].map((n) => n.toFixed(1));
    return [[name, ...megabytes, ...seconds, String(runs)]];
  });
  const head = ['held at the destination', 'first MB', 'then MB', '% of it', 'first s', 'then s', 'runs'];
  return rows.length === 0 ? [] : [`\n${alignColumns([head, ...rows])}`];
}

async function create(bench: Bench, host: GodwitHost, vm: string, workload: typeof LIGHT): Promise<void> {
  const { memoryBytes, ...spec } = vmSpec(bench, vm, workload);
  const created = await host.client.createVm({
    ...spec,
    memory: memoryBytes,
    disks: [],
    nics: [],
    sharedMemory: [],
    qemuArgs: [...spec.qemuArgs],
  });
  using guest = Guest.find(created.pid!)!;
  await guest.booted();
}

interface Moved {
  readonly megabytes: number;
  readonly totalMs: number;
  readonly downtimeMs: number;
  readonly missedReferences: number;
}

/** Throws when it does not arrive whole. */
async function move(network: NetworkPair, from: GodwitHost, to: GodwitHost, vm: string): Promise<Moved> {
  const before = await network.wireBytes();
  const startedAtMs = wallMs();
  const { id } = await from.client.migrate(vm, { to: to.migrationAddress });
  for await (const event of from.client.watchMigration(id)) {
    if (event.kind !== 'migrationEnded') continue;
    const totalMs = wallMs() - startedAtMs;
    const { report } = event.migration;
    if (report?.outcome !== 'completed') throw new Error(`${vm}: ${report?.error?.message ?? 'did not arrive'}`);
    const megabytes = ((await network.wireBytes()) - before) / 1e6;
    using guest = Guest.find((await arrived(to, vm)).pid!)!;
    const damage = await guest.findDamage();
    if (damage !== undefined) throw new Error(`${vm}: ${damage}`);
    return { megabytes, totalMs, downtimeMs: report.downtimeMs!, missedReferences: report.packing!.missedReferences };
  }
  throw new Error(`${vm}: the events ended before the migration did`);
}

/** The destination tidies up a moment after the source has told the end. */
async function arrived(host: GodwitHost, vm: string): Promise<{ readonly pid: number | null }> {
  for (;;) {
    const view = await host.client.showVm(vm);
    if (view.migration === null) return view;
    await delay(POLL_MS);
  }
}

async function kept(directory: string): Promise<void> {
  const deadlineMs = performance.now() + KEPT_TIMEOUT_MS;
  const isWhole = (name: string): boolean => /(^\d+-\d+|index)$/.test(name);
  for (;;) {
    try {
      if (readdirSync(directory, { recursive: true, encoding: 'utf8' }).some(isWhole)) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (performance.now() > deadlineMs) throw new Error(`Nothing is kept in ${directory}`);
    await delay(POLL_MS);
  }
}

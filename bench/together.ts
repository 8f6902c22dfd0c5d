/**
 * Several VMs of one image that leave a host at the same moment: what sharing what they have in common saves.
 *
 * Owns: two hosts of one fleet for each run, so that no run spares the next one its bytes. QEMU's migrations know nothing of
 * each other; they are made one after another, by the method of its that sends least.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { median } from '../src/base/statistics.ts';
import { type GodwitHost, GodwitHosts } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { GIGABIT, type NetworkPair } from './network.ts';
import { QEMU_METHODS } from './qemu-methods.ts';
import { QemuSystem, vmSpec } from './qemu-system.ts';
import type { Results } from './results.ts';
import { type Bench, type Session, wallMs } from './system.ts';
import { alignColumns } from './table.ts';
import { IDLE } from './workloads.ts';

const SCENARIO = 'together@1gbit';
const QEMU_METHOD = 'qemu-multifd-zstd';

export interface TogetherCase {
  readonly name: string;
  readonly how: 'shared' | 'unshared' | 'qemu';
}

export const TOGETHER_CASES: readonly TogetherCase[] = [
  { name: `${SCENARIO}/godwit`, how: 'shared' },
  { name: `${SCENARIO}/godwit-without-duplicates`, how: 'unshared' },
  { name: `${SCENARIO}/${QEMU_METHOD}`, how: 'qemu' },
];

const VMS = 4;
/** Beside the ports of the hosts of the other runs. */
const MIGRATION_PORT = 7712;
const WARM_UP_MS = 4_000;
const POLL_MS = 100;

interface Measured {
  readonly megabytes: number;
  readonly totalMs: number;
  /** CPU seconds per VM of packing at the source; absent for QEMU. */
  readonly packingMs?: number;
  readonly missedReferences?: number;
}

export async function measureTogether(
  bench: Bench,
  network: NetworkPair,
  cases: readonly TogetherCase[],
  results: Results,
  runName: string,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  for (const [at, { how, name }] of cases.entries()) {
    if (stop.aborted) return;
    tell(`${name} (${runName})`);
    await network.use(GIGABIT);
    const names = Array.from({ length: VMS }, (_, i) => `${runName}-${at}${i}`);
    const measured =
      how === 'qemu' ? await moveByQemu(bench, network, names) : await moveByGodwit(bench, network, names, how);
    for (const [number, value] of Object.entries(measured)) results.add(`${name}/${number}`, value);
  }
}

/** Empty when none has run. */
export function renderTogether(results: Results): string[] {
  const rows = TOGETHER_CASES.flatMap(({ name }) => {
    const runs = results.samples(`${name}/megabytes`).length;
    if (runs === 0) return [];
    const of = (number: string): number => median(results.samples(`${name}/${number}`));
    return [[name, of('megabytes').toFixed(1), (of('totalMs') / 1000).toFixed(2), String(runs)]];
  });
  return rows.length === 0
    ? []
    : [`\n${alignColumns([[`${VMS} VMs of one image`, 'MB', 'total s', 'runs'], ...rows])}\n`];
}

async function moveByGodwit(
  bench: Bench,
  network: NetworkPair,
  names: readonly string[],
  how: 'shared' | 'unshared',
): Promise<Measured> {
  const directory = join(bench.directory, names[0]!);
  mkdirSync(directory);
  const keyPath = join(directory, 'key');
  writeFileSync(keyPath, `a key of the bench, ${names[0]}, and long enough\n`);
  const args = ['--fleet-key-file', keyPath];
  await using hosts = await GodwitHosts.start(directory, { migrationPort: MIGRATION_PORT, args });
  for (const name of names) await create(bench, hosts.source, name);
  await delay(WARM_UP_MS);
  const before = await network.wireBytes();
  const startedAtMs = wallMs();
  const moves = await Promise.all(names.map((name) => move(hosts, name, how)));
  const totalMs = wallMs() - startedAtMs;
  const megabytes = ((await network.wireBytes()) - before) / 1e6;
  for (const name of names) await checkIntact(hosts.destination, name);
  const sum = (number: keyof (typeof moves)[number]) => moves.reduce((total, each) => total + each[number], 0);
  return { megabytes, totalMs, packingMs: sum('packingMs') / VMS, missedReferences: sum('missedReferences') };
}

async function create(bench: Bench, host: GodwitHost, name: string): Promise<void> {
  const { memoryBytes, ...spec } = vmSpec(bench, name, IDLE);
  const request = { ...spec, memory: memoryBytes, disks: [], nics: [], sharedMemory: [], qemuArgs: [...spec.qemuArgs] };
  const { pid } = await host.client.createVm(request);
  using guest = Guest.find(pid!)!;
  await guest.booted();
}

async function move(
  { source, destination }: GodwitHosts,
  name: string,
  how: 'shared' | 'unshared',
): Promise<{ readonly packingMs: number; readonly missedReferences: number }> {
  const without = how === 'unshared' ? (['duplicates'] as const) : [];
  const { id } = await source.client.migrate(name, { to: destination.migrationAddress, without: [...without] });
  for await (const event of source.client.watchMigration(id)) {
    if (event.kind !== 'migrationEnded') continue;
    const { report } = event.migration;
    if (report?.outcome !== 'completed') throw new Error(`${name}: ${report?.error?.message ?? 'did not arrive'}`);
    const { compareMs, compressMs, missedReferences } = report.packing!;
    return { packingMs: compareMs + compressMs, missedReferences };
  }
  throw new Error(`${name}: the events ended before the migration did`);
}

/** The destination tidies up a moment after the source has told the end. */
async function checkIntact(host: GodwitHost, name: string): Promise<void> {
  let view = await host.client.showVm(name);
  for (; view.migration !== null; view = await host.client.showVm(name)) await delay(POLL_MS);
  using guest = Guest.find(view.pid!)!;
  const damage = await guest.findDamage();
  if (damage !== undefined) throw new Error(`${name}: ${damage}`);
}

async function moveByQemu(bench: Bench, network: NetworkPair, names: readonly string[]): Promise<Measured> {
  const system = new QemuSystem(bench, QEMU_METHODS.find(({ name }) => name === QEMU_METHOD)!);
  await using stack = new AsyncDisposableStack();
  const sessions: Session[] = [];
  for (const name of names) {
    const directory = join(bench.directory, name);
    mkdirSync(directory);
    const session = stack.use(await system.open({ name, directory }, IDLE));
    await session.source.booted();
    sessions.push(session);
  }
  await delay(WARM_UP_MS);
  const before = await network.wireBytes();
  let totalMs = 0;
  for (const session of sessions) {
    await session.prepare();
    const moved = await session.migrate(() => undefined);
    if (moved.kind !== 'moved') throw new Error(`QEMU did not move it: ${moved.kind}`);
    totalMs += moved.preparingMs + moved.endedAtMs - moved.preparedAtMs;
  }
  return { megabytes: ((await network.wireBytes()) - before) / 1e6, totalMs };
}

/**
 * A host with VMs of two images is evacuated to two others, and one with VMs of one image to one other: by plan with each way of
 * grouping, without a plan, and by QEMU's own migration.
 *
 * Owns: the cases, and what of an evacuation counts. Must hold: all cases have the same guests on hosts of their own; every guest
 * is looked at after it has arrived, and one that is not intact makes the run a failed one.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { explain } from '../src/base/errors.ts';
import { Evacuation } from '../src/controller/evacuation.ts';
import type { EvacuationEvent } from '../src/controller/evacuation-port.ts';
import { FleetHosts } from '../src/controller/fleet-hosts.ts';
import { picture } from '../src/controller/fleet-picture.ts';
import { JointPlanning } from '../src/controller/joint-planning.ts';
import { LastOutlooks } from '../src/controller/last-outlooks.ts';
import type { FleetPolicy } from '../src/fleet/fleet-state.ts';
import { checkFleetVm, createFleetVm, fleetGuests, writeOwn } from './fleet-guests.ts';
import { FleetTrio } from './fleet-hosts.ts';
import { scoreEvacuation } from './fleet-score.ts';
import { GIGABIT, type NetworkPair } from './network.ts';
import { QEMU_METHODS } from './qemu-methods.ts';
import { QemuSystem } from './qemu-system.ts';
import type { Results } from './results.ts';
import { type Bench, type Session, wallMs } from './system.ts';

/** VMs take turns with the images. */
interface Fleet {
  readonly images: number;
  readonly destinations: 1 | 2;
}

const TWO: Fleet = { images: 2, destinations: 2 };
const ONE: Fleet = { images: 1, destinations: 1 };
const NEVER = new AbortController().signal;

type Way =
  | { readonly kind: 'planned'; readonly grouping: FleetPolicy['grouping'] }
  /** In the order of their names, to both hosts in turn. */
  | { readonly kind: 'unplanned'; readonly atOnce: number }
  | { readonly kind: 'qemu'; readonly method: string; readonly atOnce: number };

export interface FleetCase {
  readonly name: string;
  readonly fleet: Fleet;
  readonly way: Way;
}

const PLANNED: Way = { kind: 'planned', grouping: 'representatives' };
const QEMU_WAYS: readonly (readonly [string, Way])[] = [
  ['qemu-default', { kind: 'qemu', method: 'qemu-pre-copy', atOnce: 1 }],
  ['qemu-zstd', { kind: 'qemu', method: 'qemu-multifd-zstd', atOnce: 1 }],
  ['qemu-zstd-parallel', { kind: 'qemu', method: 'qemu-multifd-zstd', atOnce: Number.POSITIVE_INFINITY }],
];

export const FLEET_CASES: readonly FleetCase[] = [
  ...casesOf('fleet-one@1gbit', ONE, [['planned', PLANNED], ...QEMU_WAYS]),
  ...casesOf('fleet@1gbit', TWO, [
    ['representatives', PLANNED],
    ['pairs', { kind: 'planned', grouping: 'pairs' }],
    ['no-grouping', { kind: 'planned', grouping: 'none' }],
    ['one-by-one', { kind: 'unplanned', atOnce: 1 }],
    ['all-parallel', { kind: 'unplanned', atOnce: Number.POSITIVE_INFINITY }],
    ...QEMU_WAYS,
  ]),
];

/** More or fewer than the usual number may be asked for: a machine with more memory takes more. */
const VMS: number = Number(process.env['GODWIT_BENCH_FLEET_VMS'] ?? 8);
/** As long as the scanner takes on a quiet machine, for QEMU's guests as well. */
const WARM_UP_MS = 25_000;
const SAMPLE_EVERY = '3s';
const QEMU_PORT = 7800;

interface Measured {
  readonly wireMegabytes: number;
  readonly totalMs: number;
}

export async function measureFleets(
  bench: Bench,
  network: NetworkPair,
  cases: readonly FleetCase[],
  results: Results,
  runName: string,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  for (const [at, { name, fleet, way }] of cases.entries()) {
    if (stop.aborted) return;
    tell(`${name}, ${VMS} VMs (${runName})`);
    await network.use(GIGABIT);
    const place = `${runName}${at}`;
    try {
      const measured =
        way.kind === 'qemu'
          ? await evacuateByQemu(bench, network, fleet, way, place)
          : await evacuateByGodwit(bench, network, fleet, way, place, name, results);
      results.addRun(name, { kind: 'measured', numbers: { ...measured }, damage: undefined });
      tell(`${name}: ${JSON.stringify(measured)}`);
    } catch (error) {
      results.addRun(name, { kind: 'failed', reason: explain(error) });
      tell(`${name}: ${explain(error)}`);
    }
  }
}

async function evacuateByGodwit(
  bench: Bench,
  network: NetworkPair,
  fleet: Fleet,
  way: Exclude<Way, { kind: 'qemu' }>,
  place: string,
  name: string,
  results: Results,
): Promise<Measured> {
  await using trio = await FleetTrio.start(bench, place, ['--sample-every', SAMPLE_EVERY]);
  await trio.explore(bench, place);
  const guests = fleetGuests(VMS, fleet.images);
  const vms = guests.map(({ load }, index) => `${place}-${index}${load}`);
  for (const [index, guest] of guests.entries()) await createFleetVm(bench, trio.a, vms[index]!, guest);
  await delay(WARM_UP_MS);
  await trio.known();
  const before = await network.wireBytes();
  const startedAtMs = wallMs();
  if (way.kind === 'planned') await evacuatePlanned(trio, fleet, way.grouping, name, results);
  else await evacuateUnplanned(trio, vms, way.atOnce);
  const totalMs = wallMs() - startedAtMs;
  const wireMegabytes = ((await network.wireBytes()) - before) / 1e6;
  for (const vm of vms) await checkFleetVm(trio.all, vm);
  return { wireMegabytes, totalMs };
}

async function evacuatePlanned(
  trio: FleetTrio,
  { destinations }: Fleet,
  grouping: FleetPolicy['grouping'],
  name: string,
  results: Results,
): Promise<void> {
  const file = trio.file('1Gbit/s', { grouping }, destinations);
  await using hosts = new FleetHosts(file);
  const last = new LastOutlooks();
  const events: (EvacuationEvent & { readonly atMs: number })[] = [];
  const evacuation = new Evacuation(
    {
      hosts,
      picture: async () => picture(file, last.complete(await hosts.ask()), Date.now()),
      planning: new JointPlanning(),
      record: async () => undefined,
      nowMs: () => Date.now(),
      lookAgainMs: 1000,
      onEvent: (event) => events.push({ ...event, atMs: Date.now() }),
    },
    { from: 'a', to: null, deadlineAtMs: null, startedAtMs: Date.now(), vms: null },
  );
  const outcome = await evacuation.run(NEVER, NEVER);
  if (outcome.state !== 'completed') {
    throw new Error(`${outcome.state}: ${[outcome.error, ...outcome.stayed.map(({ reason }) => reason)].join('; ')}`);
  }
  for (const [number, values] of Object.entries(scoreEvacuation(events, outcome))) {
    for (const value of values) results.add(`${name}/${number}`, value);
  }
}

async function evacuateUnplanned(trio: FleetTrio, vms: readonly string[], atOnce: number): Promise<void> {
  await eachOf(vms, atOnce, async (vm, index) => {
    const to = index % 2 === 0 ? trio.b : trio.c;
    const { report } = await trio.a.client.migrateAndWait(vm, { to: to.migrationAddress });
    if (report?.outcome !== 'completed') throw new Error(`${vm}: ${report?.error?.message ?? 'did not arrive'}`);
  });
}

async function evacuateByQemu(
  bench: Bench,
  network: NetworkPair,
  { images }: Fleet,
  { method, atOnce }: Extract<Way, { kind: 'qemu' }>,
  place: string,
): Promise<Measured> {
  const system = new QemuSystem(bench, QEMU_METHODS.find(({ name }) => name === method)!);
  await using stack = new AsyncDisposableStack();
  const sessions: Session[] = [];
  for (const [index, { load, workload }] of fleetGuests(VMS, images).entries()) {
    const name = `${place}-${index}${load}`;
    const directory = join(bench.directory, name);
    mkdirSync(directory);
    const session = stack.use(await system.open({ name, directory, migrationPort: QEMU_PORT + index }, workload));
    await session.source.booted();
    await writeOwn(session.source);
    sessions.push(session);
  }
  await delay(WARM_UP_MS);
  const before = await network.wireBytes();
  const startedAtMs = wallMs();
  const arrived = await eachOf(sessions, atOnce, async (session) => {
    await session.prepare();
    const moved = await session.migrate(() => undefined);
    if (moved.kind === 'moved') return moved.destination;
    throw new Error(moved.kind === 'failed' ? moved.reason : `a VM has not converged in ${moved.afterMs} ms`);
  });
  const totalMs = wallMs() - startedAtMs;
  const wireMegabytes = ((await network.wireBytes()) - before) / 1e6;
  for (const guest of arrived) {
    const damage = await guest.findDamage();
    if (damage !== undefined) throw new Error(damage);
  }
  return { wireMegabytes, totalMs };
}

async function eachOf<T, R>(
  all: readonly T[],
  atOnce: number,
  act: (one: T, index: number) => Promise<R>,
): Promise<R[]> {
  const done: R[] = [];
  const waiting = [...all.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      done[next[0]] = await act(next[1], next[0]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, work));
  return done;
}

function casesOf(scenario: string, fleet: Fleet, ways: readonly (readonly [string, Way])[]): FleetCase[] {
  return ways.map(([name, way]) => ({ name: `${scenario}/${name}`, fleet, way }));
}

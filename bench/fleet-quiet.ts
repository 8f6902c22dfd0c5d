/**
 * A VM that writes in a rhythm: whether it is begun in its quiet quarter, and what that saves against beginning at any moment (B8).
 *
 * Owns: the guest's rhythm, which it keeps by its own clock wherever it runs, so that its true phase is known. Must hold: the
 * planner learns of the rhythm by sampling alone; planned and random starts take turns, with one VM, there and back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { explain } from '../src/base/errors.ts';
import { median } from '../src/base/statistics.ts';
import { Evacuation } from '../src/controller/evacuation.ts';
import { FleetHosts } from '../src/controller/fleet-hosts.ts';
import { picture } from '../src/controller/fleet-picture.ts';
import { JointPlanning } from '../src/controller/joint-planning.ts';
import { LastOutlooks } from '../src/controller/last-outlooks.ts';
import { findPeriod } from '../src/fleet/period.ts';
import { checkFleetVm, createFleetVm, fleetGuests } from './fleet-guests.ts';
import { FleetTrio } from './fleet-hosts.ts';
import type { GodwitHost } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { GIGABIT, type NetworkPair } from './network.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';
import { alignColumns } from './table.ts';

export const QUIET_CASE = 'fleet-quiet@1gbit';
const PERIOD_S = 28;
/** The last quarter of a cycle is quiet. */
const BUSY_S = 21;
/** Rewritten at random while it is busy: 8 MiB again and again. */
const RHYTHM = `dd if=/dev/zero of=/rhythm bs=1M count=8; while :; do if [ $(($(date +%s) % ${PERIOD_S})) -lt ${BUSY_S} ]; then dd if=/dev/urandom of=/rhythm bs=64k count=8 seek=$(($(date +%s) % 16 * 8)) conv=notrunc; sleep 0.1; else sleep 0.5; fi; done`;
/** Pairs of starts: a planned one, and one at a random moment. */
const PAIRS: number = Number(process.env['GODWIT_BENCH_QUIET_PAIRS'] ?? 5);
const KNOWN_TIMEOUT_MS = 400_000;
const POLL_MS = 1000;
const NEVER = new AbortController().signal;

export async function measureQuiet(
  bench: Bench,
  network: NetworkPair,
  results: Results,
  runName: string,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  await network.use(GIGABIT);
  const vm = `${runName}-rhythm`;
  try {
    // A window takes three seconds: several fit into a quiet quarter.
    await using trio = await FleetTrio.start(bench, runName, ['--sample-every', '1s', '--keep-history', '10m']);
    await trio.explore(bench, runName);
    const [calm] = fleetGuests(1, 1);
    await createFleetVm(bench, trio.a, vm, calm!);
    using guest = Guest.find((await trio.a.client.showVm(vm)).pid!)!;
    await guest.type(`run (${RHYTHM}) >/dev/null 2>&1 &`);
    let [here, there] = [trio.a, trio.b];
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const way of ['planned', 'random'] as const) {
        if (stop.aborted) return;
        if (way === 'planned') await isKnown(here, vm, tell);
        const moved =
          way === 'planned' ? await movePlanned(trio, vm, here, there) : await moveRandomly(vm, here, there);
        await checkFleetVm(trio.all, vm);
        const phaseS = (moved.startedAtMs / 1000) % PERIOD_S;
        results.add(`${QUIET_CASE}/${way}/wireMegabytes`, moved.bytes / 1e6);
        results.add(`${QUIET_CASE}/${way}/totalMs`, moved.totalMs);
        results.add(`${QUIET_CASE}/${way}/quiet`, phaseS >= BUSY_S ? 1 : 0);
        tell(`${QUIET_CASE} ${way}: ${phaseS.toFixed(1)} of ${PERIOD_S} s, ${(moved.bytes / 1e6).toFixed(1)} MB`);
        [here, there] = [there, here];
      }
    }
    results.addRun(QUIET_CASE, { kind: 'measured', numbers: {}, damage: undefined });
  } catch (error) {
    results.addRun(QUIET_CASE, { kind: 'failed', reason: explain(error) });
    tell(`${QUIET_CASE}: ${explain(error)}`);
  }
}

/** Empty when none has run. */
export function renderQuiet(results: Results): string[] {
  const rows = (['planned', 'random'] as const).flatMap((way) => {
    const of = (number: string): readonly number[] => results.samples(`${QUIET_CASE}/${way}/${number}`);
    const quiet = of('quiet');
    if (quiet.length === 0) return [];
    const inside = `${quiet.filter((each) => each === 1).length} of ${quiet.length}`;
    return [[way, inside, median(of('wireMegabytes')).toFixed(1), (median(of('totalMs')) / 1000).toFixed(2)]];
  });
  if (!results.hasRun(QUIET_CASE)) return [];
  const head = ['start of a VM with a rhythm', 'in its quiet quarter', 'MB', 'total s'];
  const remarks = results.tally(QUIET_CASE).remarks.map((remark) => `  ${QUIET_CASE}: ${remark}`);
  return [...(rows.length > 0 ? [`\n${alignColumns([head, ...rows])}`] : []), ...remarks];
}

/** The samples show its rhythm. */
async function isKnown(at: GodwitHost, vm: string, tell: (line: string) => void): Promise<void> {
  const deadlineMs = performance.now() + KNOWN_TIMEOUT_MS;
  for (;;) {
    const { samples } = await at.client.vmHistory(vm);
    const rates = samples.map(({ atMs, pagesPerSecond }) => ({ atMs, pagesPerSecond }));
    const period = findPeriod({ samples: rates }, Date.now());
    if (period && Math.abs(period.periodMs / 1000 / PERIOD_S - 1) < 0.1) {
      const from = (((period.anchorMs + period.quietFromMs) / 1000) % PERIOD_S).toFixed(1);
      tell(`${vm}: ${samples.length} samples, ${(period.periodMs / 1000).toFixed(1)} s, quiet from ${from} s`);
      return;
    }
    if (performance.now() > deadlineMs) throw new Error(`Of ${samples.length} samples no rhythm is known`);
    await delay(POLL_MS);
  }
}

interface Moved {
  readonly startedAtMs: number;
  readonly bytes: number;
  readonly totalMs: number;
}

async function movePlanned(trio: FleetTrio, vm: string, from: GodwitHost, to: GodwitHost): Promise<Moved> {
  const names = new Map([
    [trio.a, 'a'],
    [trio.b, 'b'],
  ]);
  const file = trio.file('1Gbit/s', {});
  const open = { ...file, hosts: file.hosts.map((host) => ({ ...host, takesVms: true })) };
  await using hosts = new FleetHosts(open);
  const last = new LastOutlooks();
  const evacuation = new Evacuation(
    {
      hosts,
      picture: async () => picture(open, last.complete(await hosts.ask()), Date.now()),
      planning: new JointPlanning(),
      record: async () => undefined,
      nowMs: () => Date.now(),
      lookAgainMs: 500,
      onEvent: () => undefined,
    },
    { from: names.get(from)!, to: names.get(to)!, deadlineAtMs: null, startedAtMs: Date.now(), vms: null },
  );
  const { arrived, stayed } = await evacuation.run(NEVER, NEVER);
  const moved = arrived.find((each) => each.vm === vm);
  if (!moved) throw new Error(`${vm} has not arrived: ${stayed.map(({ reason }) => reason).join('; ')}`);
  return moved;
}

async function moveRandomly(vm: string, from: GodwitHost, to: GodwitHost): Promise<Moved> {
  await delay(Math.random() * PERIOD_S * 1000);
  const startedAtMs = Date.now();
  const { report } = await from.client.migrateAndWait(vm, { to: to.migrationAddress });
  if (report?.outcome !== 'completed') throw new Error(`${vm}: ${report?.error?.message ?? 'did not arrive'}`);
  return { startedAtMs, bytes: report.wireBytes, totalMs: report.totalMs };
}

/**
 * godwit: a VM created by one host daemon and moved to the other, by the API that `godwit migrate` uses.
 *
 * Must hold: the time counts from the request to the end of the migration, so that creating the destination QEMU is in
 * it; that part ends with the phase `copying`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { MigrationView, ReportView } from '../src/api/migration-schema.ts';
import { PACKING_STEPS, type PackingStep } from '../src/base/packing-step.ts';
import type { GodwitHosts } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { readPeakMegabytes, resetPeakMemory } from './peak-memory.ts';
import { vmSpec } from './qemu-system.ts';
import { type Bench, type Helper, type Move, type RunPlace, type Session, type System, wallMs } from './system.ts';
import type { Workload } from './workloads.ts';

export interface GodwitMethod {
  readonly name: string;
  readonly description: string;
  readonly mode: 'auto' | 'pre-copy' | 'post-copy' | 'hybrid';
  /** Steps that are left out; none by default. */
  readonly without?: readonly PackingStep[];
}

export const GODWIT_METHODS: readonly GodwitMethod[] = [
  { name: 'godwit-pre-copy', description: 'rounds, with throttle; max-downtime 50 ms', mode: 'pre-copy' },
  { name: 'godwit-post-copy', description: 'at once', mode: 'post-copy' },
  { name: 'godwit-auto', description: 'the default: pre-copy, then what is needed', mode: 'auto' },
  { name: 'godwit-raw', description: 'pre-copy, every page whole', mode: 'pre-copy', without: PACKING_STEPS },
];

/** How much longer than it was given a migration may take to end. */
const PATIENCE_MS = 15_000;
const SEARCH_INTERVAL_MS = 10;

export class GodwitSystem implements System {
  readonly name: string;
  readonly description: string;
  readonly #bench: Bench;
  readonly #hosts: () => Promise<GodwitHosts>;
  readonly #method: GodwitMethod;

  /** @param hosts - started when they are first needed */
  constructor(bench: Bench, hosts: () => Promise<GodwitHosts>, method: GodwitMethod) {
    this.name = method.name;
    this.description = method.description;
    this.#bench = bench;
    this.#hosts = hosts;
    this.#method = method;
  }

  async open(place: RunPlace, workload: Workload): Promise<GodwitSession> {
    const hosts = await this.#hosts();
    const { memoryBytes, ...spec } = vmSpec(this.#bench, place.name, workload);
    const created = await hosts.source.client.createVm({
      ...spec,
      memory: memoryBytes,
      disks: [],
      nics: [],
      sharedMemory: [],
      qemuArgs: [...spec.qemuArgs],
    });
    const source = Guest.find(created.pid!)!;
    return new GodwitSession(hosts, source, {
      vm: place.name,
      method: this.#method,
      timeoutMs: workload.timeoutMs,
    });
  }
}

class GodwitSession implements Session {
  readonly source: Guest;
  readonly helpers: readonly Helper[];
  /** Of each daemon, before the migration. */
  #megabytesBefore: readonly number[] = [];
  readonly #hosts: GodwitHosts;
  readonly #request: { vm: string; method: GodwitMethod; timeoutMs: number };
  #destination: Guest | undefined;

  constructor(hosts: GodwitHosts, source: Guest, request: { vm: string; method: GodwitMethod; timeoutMs: number }) {
    this.source = source;
    this.helpers = [
      { side: 'source', pid: hosts.source.pid },
      { side: 'destination', pid: hosts.destination.pid },
    ];
    this.#hosts = hosts;
    this.#request = request;
  }

  prepare(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async migrate(found: (destination: Guest) => void): Promise<Move> {
    const { vm, method, timeoutMs } = this.#request;
    const { mode, without = [] } = method;
    const { client } = this.#hosts.source;
    const others = new Set(readdirSync('/proc'));
    // The migration ends itself after `timeoutMs`; this is for one that does not.
    const signal = AbortSignal.timeout(timeoutMs + PATIENCE_MS);
    const search = setInterval(() => {
      const guest = this.#destination === undefined ? findNew(vm, others) : undefined;
      if (guest === undefined) return;
      this.#destination = guest;
      found(guest);
    }, SEARCH_INTERVAL_MS);
    for (const { pid } of this.helpers) resetPeakMemory(pid);
    this.#megabytesBefore = this.helpers.map(({ pid }) => readPeakMegabytes(pid));
    try {
      const startedAtMs = wallMs();
      const to = this.#hosts.destination.migrationAddress;
      const { id } = await client.migrate(vm, { to, mode, timeoutMs, onTimeout: 'cancel', without: [...without] });
      let preparedAtMs: number | undefined;
      let releasedAtMs: number | undefined;
      for await (const event of client.watchMigration(id, { signal })) {
        if (event.kind === 'migrationPhaseChanged') {
          if (event.phase !== 'preparing') preparedAtMs ??= event.atMs;
          if (event.phase === 'released') releasedAtMs = event.atMs;
        }
        if (event.kind === 'migrationEnded') {
          const endedAtMs = releasedAtMs ?? wallMs();
          return this.#judge(event.migration, { startedAtMs, preparedAtMs: preparedAtMs ?? endedAtMs, endedAtMs });
        }
      }
      return { kind: 'failed', reason: 'the events ended before the migration did' };
    } catch (error) {
      if (!signal.aborted) throw error;
      return { kind: 'failed', reason: 'the migration does not end' };
    } finally {
      clearInterval(search);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hosts.destination.remove(this.#request.vm);
    await this.#hosts.source.remove(this.#request.vm);
    this.source[Symbol.dispose]();
    this.#destination?.[Symbol.dispose]();
  }

  #judge(
    migration: MigrationView,
    times: { readonly startedAtMs: number; readonly preparedAtMs: number; readonly endedAtMs: number },
  ): Move {
    const { startedAtMs, preparedAtMs, endedAtMs } = times;
    const { report } = migration;
    if (migration.state === 'cancelled') return { kind: 'notConverged', afterMs: endedAtMs - startedAtMs };
    if (migration.state !== 'completed' || report === null) {
      return { kind: 'failed', reason: report?.error?.message ?? `it is ${migration.state}` };
    }
    if (this.#destination === undefined) return { kind: 'failed', reason: 'the destination QEMU was not found' };
    const peaks = this.helpers.map(({ pid }) => readPeakMegabytes(pid));
    const own = {
      ...ownNumbers(report),
      ownStartAfterMs: report.startedAt - startedAtMs,
      daemonPeakMegabytes: Math.max(...peaks),
      // What the migration itself takes.
      engineMegabytes: Math.max(...peaks.map((peak, index) => peak - this.#megabytesBefore[index]!)),
    };
    const preparingMs = preparedAtMs - startedAtMs;
    return { kind: 'moved', ...times, preparingMs, destination: this.#destination, own };
  }
}

function ownNumbers(report: ReportView): Record<string, number> {
  const { downtimeParts, postCopy } = report;
  return {
    ownTotalMs: report.totalMs,
    ownDowntimeMs: report.downtimeMs ?? Number.NaN,
    ownWireMegabytes: report.wireBytes / 1e6,
    rounds: report.rounds.length,
    throttleMaxPercent: report.throttle.maxPercent,
    throttleMs: report.throttle.activeMs,
    clockUncertaintyMs: report.clockUncertaintyMs,
    ...prefixed('downtime.', downtimeParts),
    ...prefixed('postCopy.', postCopy),
  };
}

function prefixed(prefix: string, numbers: Readonly<Record<string, number>> | null): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers ?? {}).map(([name, value]) => [prefix + name, value]));
}

/** The QEMU of a VM among the processes that are not in `others`, by its command line. */
function findNew(vm: string, others: ReadonlySet<string>): Guest | undefined {
  const name = `guest=${vm},`;
  for (const entry of readdirSync('/proc')) {
    if (others.has(entry)) continue;
    try {
      if (!readFileSync(`/proc/${entry}/cmdline`, 'latin1').includes(name)) continue;
      const guest = Guest.find(Number(entry));
      if (guest !== undefined) return guest;
    } catch {
      // It ended while we looked, or it is the shell that is about to become QEMU.
    }
  }
  return undefined;
}

/**
 * QEMU's own migration: two QEMUs, started as godwit starts them, moved by QMP `migrate`.
 *
 * Must hold: the destination is up and set before the migration begins, and how long that took is told; the end is what
 * the source says it is, or the destination's resume if that is later.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { linuxGuestCommandLine } from '../guest/linux/images.ts';
import type { JsonValue } from '../src/base/errors.ts';
import { buildCommandLine, type Endpoints } from '../src/qemu/command-line.ts';
import { killQemu, type StartedQemu, startQemu } from '../src/qemu/process.ts';
import type { QmpClient, QmpEvent } from '../src/qemu/qmp.ts';
import { DEFAULT_CPU, DEFAULT_MACHINE, type VmSpec } from '../src/qemu/spec.ts';
import { Guest } from './guest.ts';
import { ADDRESSES, enter, type Side } from './network.ts';
import type { QemuMethod } from './qemu-methods.ts';
import { type Bench, type Helper, type Move, type RunPlace, type Session, type System, wallMs } from './system.ts';
import { GUEST_MEMORY_MEBIBYTES, type Workload } from './workloads.ts';

const MIGRATION_PORT = 4444;
const END_STATUSES = ['completed', 'failed', 'cancelled'];
/** How long a cancelled migration may take to say so, and a destination to resume once the source is done. */
const SETTLE_TIMEOUT_MS = 10_000;

export function vmSpec(bench: Bench, name: string, workload: Workload): VmSpec {
  return {
    name,
    memoryBytes: (workload.memoryMiB ?? GUEST_MEMORY_MEBIBYTES) * 2 ** 20,
    vcpus: 1,
    machine: DEFAULT_MACHINE,
    cpu: DEFAULT_CPU,
    accel: 'tcg',
    qemu: bench.qemu.wrapper,
    boot: { ...bench.images, cmdline: linuxGuestCommandLine(workload.options) },
    disks: [],
    nics: [],
    sharedMemory: [],
    qemuArgs: [],
  };
}

export class QemuSystem implements System {
  readonly name: string;
  readonly description: string;
  readonly #bench: Bench;
  readonly #method: QemuMethod;

  constructor(bench: Bench, method: QemuMethod) {
    this.name = method.name;
    this.description = method.description;
    this.#bench = bench;
    this.#method = method;
  }

  async open(place: RunPlace, workload: Workload): Promise<QemuSession> {
    const spec = vmSpec(this.#bench, place.name, workload);
    const session = new QemuSession(spec, place, this.#method, workload.timeoutMs);
    await session.startSource();
    return session;
  }
}

class QemuSession implements Session {
  readonly helpers: readonly Helper[] = [];
  readonly #spec: VmSpec;
  readonly #place: RunPlace;
  readonly #method: QemuMethod;
  readonly #timeoutMs: number;
  readonly #uuid = randomUUID();
  readonly #guests: Partial<Record<Side, Guest>> = {};
  readonly #qemus: Partial<Record<Side, StartedQemu>> = {};
  #preparingMs = 0;

  constructor(spec: VmSpec, place: RunPlace, method: QemuMethod, timeoutMs: number) {
    this.#spec = spec;
    this.#place = place;
    this.#method = method;
    this.#timeoutMs = timeoutMs;
  }

  get #uri(): string {
    return `tcp:${ADDRESSES.destination}:${this.#place.migrationPort ?? MIGRATION_PORT}`;
  }

  get source(): Guest {
    return this.#guests.source!;
  }

  async startSource(): Promise<void> {
    await this.#start('source', []);
  }

  async pauseSource(): Promise<void> {
    await this.#qmp('source').execute('stop');
  }

  async prepare(): Promise<Guest> {
    const begunMs = wallMs();
    await this.#start('destination', ['-incoming', 'defer']);
    for (const side of ['source', 'destination'] as const) await this.#configure(this.#qmp(side));
    await this.#qmp('destination').execute('migrate-incoming', { uri: this.#uri });
    this.#preparingMs = wallMs() - begunMs;
    return this.#guests.destination!;
  }

  async migrate(): Promise<Move> {
    const qmp = this.#qmp('source');
    const ended = qmp.waitForEvent(isEnd, { timeoutMs: this.#timeoutMs }).catch(() => undefined);
    const resumed = this.#qmp('destination').waitForEvent('RESUME', {
      timeoutMs: this.#timeoutMs + SETTLE_TIMEOUT_MS,
    });
    resumed.catch(() => undefined);
    const passes = qmp.onEvent((event) => this.#onPass(event));
    const startedAtMs = wallMs();
    await qmp.execute('migrate', { uri: this.#uri });
    const end = await ended;
    passes();
    if (end === undefined) {
      const cancelled = qmp.waitForEvent(isEnd, { timeoutMs: SETTLE_TIMEOUT_MS }).catch(() => undefined);
      await qmp.execute('migrate_cancel');
      await cancelled;
      return { kind: 'notConverged', afterMs: this.#timeoutMs };
    }
    if (end.data['status'] !== 'completed') return { kind: 'failed', reason: await failureOf(qmp) };
    const { timestampMs } = await resumed;
    const own = await ownNumbers(qmp);
    const endedAtMs = Math.max(end.timestampMs, timestampMs);
    const times = { startedAtMs, preparedAtMs: startedAtMs, preparingMs: this.#preparingMs, endedAtMs };
    return { kind: 'moved', ...times, destination: this.#guests.destination!, own };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const started of Object.values(this.#qemus)) {
      started.qmp.close();
      await killQemu(started.identity);
    }
    for (const guest of Object.values(this.#guests)) guest[Symbol.dispose]();
  }

  async #start(side: Side, extra: readonly string[]): Promise<void> {
    const directory = join(this.#place.directory, side);
    mkdirSync(directory);
    const endpoints: Endpoints = {
      ramPath: `/dev/shm/${this.#place.name}-${side}`,
      qmpPath: join(directory, 'qmp.sock'),
      consoleSocketPath: join(directory, 'console.sock'),
      consoleLogPath: join(directory, 'console.log'),
    };
    const words = buildCommandLine(this.#spec, endpoints, { uuid: this.#uuid, accel: 'tcg' });
    const [binary, args] = enter(side, this.#spec.qemu, [...words, ...extra]);
    const started = await startQemu({
      binary,
      args,
      logPath: join(directory, 'qemu.log'),
      qmpPath: endpoints.qmpPath,
      ramPaths: [endpoints.ramPath],
    });
    this.#qemus[side] = started;
    this.#guests[side] = Guest.find(started.identity.pid)!;
  }

  async #configure(qmp: QmpClient): Promise<void> {
    const names = [...this.#method.capabilities, 'events'];
    const capabilities = names.map((capability): JsonValue => ({ capability, state: true }));
    await qmp.execute('migrate-set-capabilities', { capabilities });
    await qmp.execute('migrate-set-parameters', { ...this.#method.parameters });
  }

  #onPass(event: QmpEvent): void {
    if (!this.#method.switchToPostCopy || event.event !== 'MIGRATION_PASS' || event.data['pass'] !== 2) return;
    // It may have ended by itself in this moment, which is as good.
    void this.#qmp('source')
      .execute('migrate-start-postcopy')
      .catch(() => undefined);
  }

  #qmp(side: Side): QmpClient {
    return this.#qemus[side]!.qmp;
  }
}

function isEnd(event: QmpEvent): boolean {
  return event.event === 'MIGRATION' && END_STATUSES.includes(String(event.data['status']));
}

async function failureOf(qmp: QmpClient): Promise<string> {
  const answer = await qmp.execute<{ status: string; 'error-desc'?: string }>('query-migrate');
  return answer['error-desc'] ?? `QEMU says ${answer.status}`;
}

async function ownNumbers(qmp: QmpClient): Promise<Record<string, number>> {
  type Answer = { 'total-time'?: number; downtime?: number; ram?: { transferred: number; 'dirty-sync-count': number } };
  const answer = await qmp.execute<Answer>('query-migrate');
  return {
    ownTotalMs: answer['total-time'] ?? Number.NaN,
    ownDowntimeMs: answer.downtime ?? Number.NaN,
    rounds: answer.ram?.['dirty-sync-count'] ?? Number.NaN,
  };
}

/**
 * A migration engine that does what a test tells it, for tests of the daemon, the API and the CLI.
 */

import { randomUUID } from 'node:crypto';
import { identifyProcess, type ProcessIdentity } from '../../src/linux/process.ts';
import type {
  Admission,
  CheckResult,
  DamagedMigration,
  FoundMigrations,
  IncomingPolicy,
  MigrationHandle,
  MigrationListener,
  OutgoingInput,
  VmSettlement,
} from '../../src/migration/handle.ts';
import type { MigrationCommand, MigrationEvent, MigrationProgress } from '../../src/migration/progress.ts';
import type { MigrationReport } from '../../src/migration/report.ts';
import { NOTHING_TRACKED } from '../../src/migration/report.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from '../../src/migration/request.ts';
import type { VmRecord } from '../../src/migration/vm-record.ts';
import { NOTHING_PACKED } from '../../src/transfer/packing.ts';

export class ScriptedHandle implements MigrationHandle {
  readonly id: string;
  readonly vm: string;
  readonly uuid = '11111111-2222-3333-4444-555555555555';
  readonly epoch = 2;
  readonly direction: 'outgoing' | 'incoming';
  readonly peer: string;
  readonly options: MigrationOptions;
  readonly hasVm: boolean;
  readonly qemu: ProcessIdentity | null;
  readonly ramBytes: number;
  readonly commands: MigrationCommand[] = [];
  /** What `command` throws next. */
  refusal: Error | undefined;
  /** Its thread goes on after its end. */
  lingers = false;
  readonly #listeners = new Set<(event: MigrationEvent) => void>();
  readonly #settled = Promise.withResolvers<VmSettlement>();
  readonly #ended = Promise.withResolvers<MigrationReport>();

  constructor(facts: {
    id: string;
    vm: string;
    direction: 'outgoing' | 'incoming';
    peer: string;
    options?: MigrationOptions;
    hasVm?: boolean;
    /** As in a trial daemon this process, if not given. */
    qemu?: ProcessIdentity | null;
    ramBytes?: number;
  }) {
    this.id = facts.id;
    this.vm = facts.vm;
    this.direction = facts.direction;
    this.peer = facts.peer;
    this.options = facts.options ?? DEFAULT_MIGRATION_OPTIONS;
    this.hasVm = facts.hasVm ?? true;
    this.qemu = facts.qemu === undefined ? identifyProcess(process.pid)! : facts.qemu;
    this.ramBytes = facts.ramBytes ?? 2 ** 20;
  }

  get vmSettled(): Promise<VmSettlement> {
    return this.#settled.promise;
  }
  get ended(): Promise<MigrationReport> {
    return this.#ended.promise;
  }

  get exited(): Promise<void> {
    return this.ended.then(() => (this.lingers ? new Promise(() => undefined) : undefined));
  }

  onEvent(listener: (event: MigrationEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async command(command: MigrationCommand): Promise<void> {
    this.commands.push(command);
    if (this.refusal) throw this.refusal;
    if (command.kind === 'cancel') this.finish({ kind: 'stays' }, { outcome: 'cancelled' });
  }

  emit(event: MigrationEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  settle(settlement: VmSettlement): void {
    this.#settled.resolve(settlement);
  }

  finish(settlement: VmSettlement, report: Partial<MigrationReport> = {}): void {
    this.settle(settlement);
    this.#ended.resolve(sampleReport({ id: this.id, vm: this.vm, to: this.peer, ...report }));
  }
}

export class ScriptedEngine {
  readonly outgoing: ScriptedHandle[] = [];
  readonly arriving: ScriptedHandle[] = [];
  readonly inputs: OutgoingInput[] = [];
  policy: IncomingPolicy | undefined;
  checkResult: CheckResult = { ok: true, outcome: 'ok', blockers: [], notes: [], facts: {} };
  handlesAtStart: ScriptedHandle[] = [];
  damagedAtStart: DamagedMigration[] = [];

  readonly startOutgoing = (input: OutgoingInput): MigrationHandle => {
    const handle = new ScriptedHandle({
      id: input.id,
      vm: input.vm.name,
      direction: 'outgoing',
      peer: input.to,
      options: input.options,
      qemu: { pid: input.vm.pid, startTicks: input.vm.startTicks },
    });
    this.outgoing.push(handle);
    this.inputs.push(input);
    return handle;
  };

  readonly listenForMigrations = async (options: {
    host: string;
    port: number;
    policy: IncomingPolicy;
  }): Promise<MigrationListener> => {
    this.policy = options.policy;
    return { host: options.host, port: options.port === 0 ? 7710 : options.port, close: async () => undefined };
  };

  readonly checkMigration = async (): Promise<CheckResult> => this.checkResult;

  readonly recoverMigrations = async (): Promise<FoundMigrations> => ({
    handles: this.handlesAtStart,
    damaged: this.damagedAtStart,
  });

  incoming(facts: { id: string; vm: string; peer: string; ramBytes?: number }): void {
    const handle = new ScriptedHandle({ ...facts, direction: 'incoming' });
    this.arriving.push(handle);
    this.policy!.onIncoming(handle);
  }

  offer(name: string, changes: { checkOnly?: boolean; memoryBytes?: number; migrationId?: string } = {}): Admission {
    return this.policy!.admit({
      migrationId: 'in-1',
      vm: name,
      uuid: randomUUID(),
      epoch: 2,
      memoryBytes: 2 ** 20,
      macs: [],
      from: 'b',
      checkOnly: false,
      ...changes,
    });
  }
}

export function sampleReport(changes: Partial<MigrationReport> = {}): MigrationReport {
  return {
    id: 'm1',
    vm: 'web1',
    from: 'a',
    to: 'b',
    mode: 'auto',
    outcome: 'completed',
    error: null,
    interrupted: false,
    startedAt: 1_700_000_000_000,
    totalMs: 3210,
    downtimeMs: 12.3,
    finishByMs: null,
    downtimeLimitMs: 50,
    downtimeParts: {
      stop: 0.4,
      lastRound: 2.1,
      saveState: 3.5,
      transferState: 0.6,
      loadState: 4.2,
      commit: 1.1,
      resume: 0.4,
      verify: 0,
    },
    wireBytes: 120 * 2 ** 20,
    ramBytes: 512 * 2 ** 20,
    pages: { total: 131_072, hole: 90_000, zero: 1072, sent: 41_000, resent: 1000 },
    disks: [],
    packing: { ...NOTHING_PACKED },
    tracker: NOTHING_TRACKED,
    diskRequests: [],
    rounds: [
      {
        number: 1,
        pages: 40_000,
        bytes: 117 * 2 ** 20,
        ms: 1500,
        transmissionPagesPerSecond: 26_666,
        modificationPagesPerSecond: 700,
        ratio: 38.1,
        throttlePercent: 0,
        rule: 'next',
      },
    ],
    prediction: null,
    throttle: { mechanism: 'none', maxPercent: 0, activeMs: 0 },
    postCopy: null,
    verify: null,
    announcements: null,
    hooks: [],
    owner: 'b',
    clockUncertaintyMs: 0.1,
    ...changes,
  };
}

export function sampleProgress(changes: Partial<MigrationProgress> = {}): MigrationProgress {
  return {
    phase: 'copying',
    round: 2,
    percent: 62,
    sentBytes: 1.2 * 2 ** 30,
    remainingBytes: 300 * 2 ** 20,
    ramBytes: 4 * 2 ** 30,
    bytesPerSecond: 117.5 * 2 ** 20,
    dirtyBytesPerSecond: 12 * 2 ** 20,
    throttlePercent: 0,
    etaMs: 3200,
    predictedDowntimeMs: 31,
    prediction: null,
    waitingFor: null,
    isReady: false,
    disks: [],
    verdict: { kind: 'converging', text: 'each round leaves a tenth' },
    ...changes,
  };
}

export function sampleRecord(changes: Partial<VmRecord> = {}): VmRecord {
  return {
    name: 'web1',
    uuid: '11111111-2222-3333-4444-555555555555',
    epoch: 1,
    pid: 2 ** 22 - 1,
    startTicks: 1,
    binary: '/usr/bin/qemu-system-x86_64',
    args: [],
    qmpPath: '/nonexistent/qmp.sock',
    consoleLogPath: null,
    consoleSocketPath: null,
    memoryBytes: 2 ** 29,
    vcpus: 1,
    adopted: false,
    createdAt: 1_700_000_000_000,
    arrivedFrom: null,
    ...changes,
  };
}

/**
 * Prometheus metrics of a host.
 *
 * Owns: the metrics' names, modelled on `kubevirt_vmi_migration_*` with units in the names and `_total` on counters
 * only. Must hold: a gauge about one migration goes away with it, so that the number of series stays bounded.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { VM_STATES, type VmState } from '../api/vm-schema.ts';
import type { DestinationPhase, MigrationProgress, SourcePhase } from '../migration/progress.ts';
import type { MigrationReport } from '../migration/report.ts';
import type { AuditCounts } from './audit-log.ts';

type Phase = SourcePhase | DestinationPhase;
type Direction = 'outgoing' | 'incoming';

/** The phases in which a migration can be found, with the word for each in a metric's name. */
const PHASE_WORDS: Partial<Record<Phase, string>> = {
  preparing: 'preparing',
  copying: 'copying',
  stopping: 'stopping',
  committed: 'committed',
  serving: 'serving',
  waiting: 'waiting',
  receiving: 'receiving',
  loaded: 'loaded',
  resuming: 'resuming',
  pagingIn: 'paging_in',
};

const PREFIX = 'godwit_vm_migration';
const DOWNTIME_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const DURATION_BUCKETS = [0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600];

export class HostMetrics implements AuditCounts {
  readonly registry = new Registry();
  readonly #phases = new Map<string, Phase>();
  readonly #sent = new Map<string, number>();
  readonly #perMigration: Gauge<'vm' | 'direction'>[] = [];

  readonly #vms = this.#gauge('godwit_vms', 'VMs of this host by state', ['state']);
  readonly #limit = this.#gauge(
    'godwit_host_bandwidth_limit_bytes_per_second',
    'What all migrations away from the host may send together; 0 is unlimited',
    [],
  );
  readonly #data = new Counter({
    name: `${PREFIX}_data_bytes_total`,
    help: 'Bytes that migrations have put on the wire',
    labelNames: ['vm', 'direction'],
    registers: [this.registry],
  });
  readonly #processed = this.#own('data_processed_bytes', 'Bytes sent by the running migration');
  readonly #remaining = this.#own('data_remaining_bytes', 'Bytes of guest memory that the running migration has left');
  readonly #rate = this.#own('memory_transfer_rate_bytes_per_second', 'What the running migration sends');
  readonly #dirty = this.#own('dirty_memory_rate_bytes_per_second', 'How fast the guest changes its memory');
  readonly #throttle = this.#own('throttle_ratio', "Part of the vCPUs' time that is taken away, 0 to 1");
  readonly #startTime = this.#own('start_time_seconds', 'Unix time at which the running migration started');
  readonly #endTime = this.#gauge(`${PREFIX}_end_time_seconds`, 'Unix time at which the last migration ended', [
    'vm',
    'direction',
  ]);
  readonly #ended = new Counter({
    name: 'godwit_vm_migrations_total',
    help: 'Migrations that have ended, by outcome',
    labelNames: ['direction', 'mode', 'outcome'],
    registers: [this.registry],
  });
  readonly #downtime = this.#histogram(
    'downtime_seconds',
    'Last guest instruction at the source to the first at the destination',
    ['direction'],
    DOWNTIME_BUCKETS,
  );
  readonly #duration = this.#histogram(
    'duration_seconds',
    'Whole migrations',
    ['direction', 'outcome'],
    DURATION_BUCKETS,
  );
  readonly #upgrades = new Counter({
    name: 'godwit_vm_upgrades_total',
    help: 'QEMUs that were to be replaced while their VMs ran, by outcome',
    labelNames: ['outcome'],
    registers: [this.registry],
  });
  readonly #upgradeDowntime = new Histogram({
    name: 'godwit_vm_upgrade_downtime_seconds',
    help: 'Last guest instruction in the old QEMU to the first in the new one',
    buckets: DOWNTIME_BUCKETS,
    registers: [this.registry],
  });
  readonly #refusedRequests = new Counter({
    name: 'godwit_host_api_refused_requests_total',
    help: 'Requests to the API without a token that counts (401), or without the right (403)',
    labelNames: ['status'],
    registers: [this.registry],
  });
  readonly #unwritten = new Counter({
    name: 'godwit_host_audit_unwritten_total',
    help: 'Lines of the audit log that could not be written, and are in the log of the daemon',
    registers: [this.registry],
  });
  readonly #transitions = this.#histogram(
    'phase_transition_time_from_creation_seconds',
    'From the start of a migration to a phase',
    ['direction', 'phase'],
    DURATION_BUCKETS,
  );
  readonly #faults = new Counter({
    name: `${PREFIX}_post_copy_faults_total`,
    help: 'Page faults served over the network after the VM had moved',
    labelNames: ['direction'],
    registers: [this.registry],
  });

  /** @param countVms - how many VMs there are in each state, asked at every scrape */
  constructor(version: string, hostName: string, countVms: () => Partial<Record<VmState, number>>) {
    collectDefaultMetrics({ register: this.registry, prefix: 'godwit_host_' });
    this.#gauge('godwit_build_info', 'Always 1; the labels say what runs', ['version', 'host']).set(
      { version, host: hostName },
      1,
    );
    const phases = this.#phases;
    for (const [phase, word] of Object.entries(PHASE_WORDS)) {
      new Gauge({
        name: `godwit_vm_migrations_in_${word}_phase`,
        help: `Migrations in phase ${phase}`,
        registers: [this.registry],
        collect() {
          let count = 0;
          for (const at of phases.values()) if (at === phase) count++;
          this.set(count);
        },
      });
    }
    this.#refreshVms = () => {
      const counts = countVms();
      for (const state of VM_STATES) this.#vms.set({ state }, counts[state] ?? 0);
    };
  }
  readonly #refreshVms: () => void;

  /** @param downtimeMs - null: it did not run, or was not measured */
  upgraded(isUpgraded: boolean, downtimeMs: number | null): void {
    this.#upgrades.inc({ outcome: isUpgraded ? 'completed' : 'failed' });
    if (downtimeMs !== null) this.#upgradeDowntime.observe(downtimeMs / 1000);
  }

  requestRefused(status: number): void {
    this.#refusedRequests.inc({ status });
  }

  auditUnwritten(): void {
    this.#unwritten.inc();
  }

  limited(bytesPerSecond: number): void {
    this.#limit.set(bytesPerSecond);
  }

  started(id: string, vm: string, direction: Direction, atMs: number): void {
    this.#phases.set(id, 'preparing');
    this.#startTime.set({ vm, direction }, atMs / 1000);
  }

  phaseChanged(id: string, direction: Direction, phase: Phase, sinceStartMs: number): void {
    this.#phases.set(id, phase);
    this.#transitions.observe({ direction, phase: PHASE_WORDS[phase] ?? phase }, Math.max(0, sinceStartMs) / 1000);
  }

  progressed(id: string, vm: string, direction: Direction, progress: MigrationProgress): void {
    const labels = { vm, direction };
    this.#count(id, vm, direction, progress.sentBytes);
    this.#processed.set(labels, progress.sentBytes);
    this.#remaining.set(labels, progress.remainingBytes);
    this.#rate.set(labels, progress.bytesPerSecond);
    this.#dirty.set(labels, progress.dirtyBytesPerSecond);
    this.#throttle.set(labels, progress.throttlePercent / 100);
  }

  ended(direction: Direction, report: MigrationReport): void {
    const { id, vm, outcome } = report;
    this.#count(id, vm, direction, report.wireBytes);
    this.#phases.delete(id);
    this.#sent.delete(id);
    for (const gauge of this.#perMigration) gauge.remove({ vm, direction });
    this.#endTime.set({ vm, direction }, (report.startedAt + report.totalMs) / 1000);
    this.#ended.inc({ direction, mode: report.mode, outcome });
    this.#duration.observe({ direction, outcome }, report.totalMs / 1000);
    if (report.downtimeMs !== null) this.#downtime.observe({ direction }, Math.max(0, report.downtimeMs) / 1000);
    if (report.postCopy) this.#faults.inc({ direction }, report.postCopy.faults);
  }

  text(): Promise<string> {
    this.#refreshVms();
    return this.registry.metrics();
  }

  #count(id: string, vm: string, direction: Direction, bytes: number): void {
    const before = this.#sent.get(id) ?? 0;
    if (bytes <= before) return;
    this.#sent.set(id, bytes);
    this.#data.inc({ vm, direction }, bytes - before);
  }

  #own(name: string, help: string): Gauge<'vm' | 'direction'> {
    const gauge = this.#gauge(`${PREFIX}_${name}`, help, ['vm', 'direction']);
    this.#perMigration.push(gauge);
    return gauge;
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    buckets: number[],
  ): Histogram<Label> {
    return new Histogram({ name: `${PREFIX}_${name}`, help, labelNames, buckets, registers: [this.registry] });
  }
}

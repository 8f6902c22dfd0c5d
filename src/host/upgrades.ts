/**
 * Replacing the QEMUs of VMs while they run.
 *
 * Owns: the threads that do it, and what this host knows of a VM before and after. Must hold: while a QEMU is being replaced
 * nobody else has the VM (vm-lease.ts); the journal of it goes only when the VM's record names the QEMU that has the VM.
 */
import { randomBytes } from 'node:crypto';
import type { UpgradeBody, UpgradeReportView } from '../api/upgrade-schema.ts';
import type { VmView } from '../api/vm-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { announceNics } from '../network/announcing.ts';
import { removeUpgradeJournal, upgradeJournalPath } from '../upgrade/upgrade-journal.ts';
import { recoverUpgrade, type UpgradeRecovery } from '../upgrade/upgrade-recovery.ts';
import { UpgradeThread } from '../upgrade/upgrade-thread.ts';
import type { UpgradeMeasurements, UpgradeOutcome } from '../upgrade/upgrade-words.ts';
import type { DirtySampling } from './dirty-sampling.ts';
import type { Logger } from './logger.ts';
import type { HostMetrics } from './metrics.ts';
import type { Migrations } from './migrations.ts';
import type { Vm } from './vm.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface UpgradesOptions {
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly allowedNetworkScripts: readonly string[];
  readonly registry: Pick<VmRegistry, 'get' | 'view' | 'replaced'>;
  readonly migrations: Pick<Migrations, 'arrivalOf'>;
  readonly metrics: Pick<HostMetrics, 'upgraded'>;
  readonly log: Logger;
  readonly sampling: Pick<DirtySampling, 'release'>;
}

interface Running {
  /** Idempotent. */
  cancel(): void;
  /** Resolves, never rejects, when the VM is its user's again. */
  readonly finished: Promise<unknown>;
}

type Outcome = UpgradeOutcome | Extract<UpgradeRecovery, { kind: 'unfinished' }>;

export class Upgrades implements AsyncDisposable {
  readonly #options: UpgradesOptions;
  /** By the VM's name, from the request to its answer. */
  readonly #running = new Map<string, Running>();
  readonly #over = new AbortController();

  constructor(options: UpgradesOptions) {
    this.#options = options;
  }

  /**
   * @throws GW_UPGRADE_REFUSED, GW_UPGRADE_FAILED, GW_UPGRADE_CANCELLED: the VM goes on in its old QEMU; GW_UPGRADE_UNFINISHED:
   *   nobody gets it
   */
  async start(name: string, { qemu }: UpgradeBody): Promise<UpgradeReportView> {
    const host = this.#options.hostName;
    if (this.#over.signal.aborted) throw new GodwitError('GW_HOST_STOPPING', { host });
    if (this.#running.has(name)) {
      throw new GodwitError('GW_CONFLICT', { kind: 'VM', name, reason: 'its QEMU is being replaced' });
    }
    const cancelled = new AbortController();
    const ended = this.#replace(name, qemu ?? null, cancelled.signal);
    const finished = ended.catch(() => undefined).finally(() => this.#running.delete(name));
    this.#running.set(name, { cancel: () => cancelled.abort(), finished });
    return await ended;
  }

  /** @throws GW_NOT_FOUND when no QEMU of the VM is being replaced */
  async cancel(name: string): Promise<VmView> {
    const running = this.#running.get(name);
    if (!running) throw new GodwitError('GW_NOT_FOUND', { kind: 'upgrade of a VM', name });
    running.cancel();
    await running.finished;
    return this.#options.registry.view(name);
  }

  /** Those that were not committed are cancelled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    const running = [...this.#running.values()];
    for (const { cancel } of running) cancel();
    await Promise.all(running.map(({ finished }) => finished));
  }

  async #replace(name: string, qemu: string | null, cancelled: AbortSignal): Promise<UpgradeReportView> {
    const { registry, migrations, sampling, stateDirectory, allowedNetworkScripts } = this.#options;
    const startedAtMs = Date.now();
    await migrations.arrivalOf(name);
    await sampling.release(name);
    if (cancelled.aborted) throw new GodwitError('GW_UPGRADE_CANCELLED', { vm: name });
    const vm = registry.get(name);
    const instance = randomBytes(4).toString('hex');
    vm.takeLease(instance, 'upgrade');
    const input = { vm: vm.record, qemu, stateDirectory, instance, allowedNetworkScripts, startedAtMs };
    const thread = new UpgradeThread(input);
    cancelled.addEventListener('abort', () => thread.cancel(), { once: true });
    return await this.#settle(vm, instance, (await thread.ended) ?? (await this.#recover(vm)));
  }

  async #settle(vm: Vm, instance: string, outcome: Outcome): Promise<UpgradeReportView> {
    const { log, metrics } = this.#options;
    const { name } = vm;
    metrics.upgraded(outcome.kind === 'upgraded', outcome.kind === 'upgraded' ? outcome.measured.downtimeMs : null);
    if (outcome.kind === 'unfinished') {
      const { reason } = outcome;
      vm.withhold(reason);
      log.error({ vm: name, reason }, 'nobody gets a VM whose QEMU was being replaced');
      throw new GodwitError('GW_UPGRADE_UNFINISHED', { vm: name, reason });
    }
    if (outcome.kind === 'stayed') {
      await vm.endLease(instance);
      const { error, notes } = outcome;
      log.info({ vm: name, reason: error.message, notes }, 'the QEMU was not replaced');
      throw GodwitError.fromBody({ ...error, details: { ...error.details, notes: [...notes] } });
    }
    const now = await this.#takeOver(vm, outcome.vm);
    const { pid } = outcome.vm;
    const { measured } = outcome;
    const { state } = now.view();
    const { from, to, wasRunning, downtimeMs, totalMs, notes } = measured;
    log.info({ vm: name, pid, from, to, wasRunning, state, downtimeMs, totalMs, notes }, 'the QEMU was replaced');
    if (now.hasEnded) throw new GodwitError('GW_QEMU_GONE', { vm: name, reason: 'the new QEMU has ended' });
    return { vm: name, pid, state, memoryCopiedBytes: 0, ...measured, notes: [...notes] };
  }

  async #takeOver(vm: Vm, record: VmRecord): Promise<Vm> {
    const { registry, stateDirectory, log } = this.#options;
    const saved = (): void => removeUpgradeJournal(upgradeJournalPath(stateDirectory, vm.name));
    const now = await registry.replaced(vm, { record, saved });
    void announceNics(record.nics ?? [], this.#over.signal).catch((error: unknown) => {
      log.warn({ vm: vm.name, reason: explain(error) }, 'cannot tell the network where the VM is');
    });
    return now;
  }

  /** Its thread has died. */
  async #recover({ name, record }: Vm): Promise<Outcome> {
    const { stateDirectory, log } = this.#options;
    const notes: string[] = [];
    const note = (reason: string): void => {
      notes.push(reason);
      log.warn({ vm: name, reason }, 'replacing a QEMU');
    };
    const recovery = await recoverUpgrade({ stateDirectory, known: record, note });
    if (recovery.kind === 'unfinished') return recovery;
    if (recovery.kind === 'replaced') {
      const { vm, wasRunning } = recovery;
      return { kind: 'upgraded', vm, measured: { ...NOT_MEASURED, wasRunning, notes: [THREAD_DIED, ...notes] } };
    }
    removeUpgradeJournal(upgradeJournalPath(stateDirectory, name));
    const error = new GodwitError('GW_UPGRADE_FAILED', { vm: name, reason: 'the thread that did it has died' });
    return { kind: 'stayed', error: error.toBody(), notes };
  }
}

const THREAD_DIED = 'The thread that replaced the QEMU has died, and with it what it measured';
const UNKNOWN = { binary: 'unknown', version: 'unknown' } as const;
const NOT_MEASURED = {
  ...{ from: UNKNOWN, to: UNKNOWN, downtimeMs: null, saveMs: 0, loadMs: 0, commitMs: 0, resumeMs: 0 },
  ...{ totalMs: 0, stateBytes: 0 },
} satisfies Partial<UpgradeMeasurements>;

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
import { recoverUpgrade } from '../upgrade/upgrade-recovery.ts';
import { UpgradeThread } from '../upgrade/upgrade-thread.ts';
import type { UpgradeMeasurements, UpgradeOutcome } from '../upgrade/upgrade-words.ts';
import type { DirtySampling } from './dirty-sampling.ts';
import type { Logger } from './logger.ts';
import type { HostMetrics } from './metrics.ts';
import type { Vm } from './vm.ts';
import type { VmRegistry } from './vm-registry.ts';
import { VmStore } from './vm-store.ts';

export interface UpgradesOptions {
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly allowedNetworkScripts: readonly string[];
  readonly registry: VmRegistry;
  readonly metrics: Pick<HostMetrics, 'upgraded'>;
  readonly log: Logger;
  readonly sampling: Pick<DirtySampling, 'release'>;
}

interface Running {
  readonly thread: UpgradeThread;
  /** Resolves, never rejects, when the VM is its user's again. */
  readonly finished: Promise<unknown>;
}

export class Upgrades implements AsyncDisposable {
  readonly #options: UpgradesOptions;
  readonly #running = new Map<string, Running>();
  readonly #over = new AbortController();

  constructor(options: UpgradesOptions) {
    this.#options = options;
  }

  /** @throws GW_UPGRADE_REFUSED, GW_UPGRADE_FAILED, GW_UPGRADE_CANCELLED: the VM goes on in its old QEMU */
  async start(name: string, { qemu }: UpgradeBody): Promise<UpgradeReportView> {
    const { hostName, registry, sampling, stateDirectory, allowedNetworkScripts } = this.#options;
    const startedAtMs = Date.now();
    await sampling.release(name);
    if (this.#over.signal.aborted) throw new GodwitError('GW_HOST_STOPPING', { host: hostName });
    const vm = registry.get(name);
    const instance = randomBytes(4).toString('hex');
    vm.takeLease(instance, 'upgrade');
    const input = { vm: vm.record, qemu: qemu ?? null, stateDirectory, instance, allowedNetworkScripts, startedAtMs };
    const thread = new UpgradeThread(input);
    const ended = thread.ended.then((outcome) => this.#settle(vm, instance, outcome));
    const finished = ended.catch(() => undefined).finally(() => this.#running.delete(name));
    this.#running.set(name, { thread, finished });
    return await ended;
  }

  /** @throws GW_NOT_FOUND when no QEMU of the VM is being replaced */
  async cancel(name: string): Promise<VmView> {
    const running = this.#running.get(name);
    if (!running) throw new GodwitError('GW_NOT_FOUND', { kind: 'upgrade of a VM', name });
    running.thread.cancel();
    await running.finished;
    return this.#options.registry.view(name);
  }

  /** Those that were not committed are cancelled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    const running = [...this.#running.values()];
    for (const { thread } of running) thread.cancel();
    await Promise.all(running.map(({ finished }) => finished));
  }

  async #settle(vm: Vm, instance: string, told: UpgradeOutcome | null): Promise<UpgradeReportView> {
    const { log, metrics } = this.#options;
    const { name } = vm;
    const outcome = told ?? (await this.#recover(name));
    metrics.upgraded(outcome.kind === 'upgraded', outcome.kind === 'upgraded' ? outcome.measured.downtimeMs : null);
    if (outcome.kind === 'stayed') {
      await vm.endLease(instance);
      const error = GodwitError.fromBody(outcome.error);
      log.info({ vm: name, reason: error.message }, 'the QEMU was not replaced');
      throw error;
    }
    const now = await this.#takeOver(vm, outcome.vm);
    const { pid } = outcome.vm;
    const { from, to, downtimeMs, totalMs } = outcome.measured;
    log.info({ vm: name, pid, from, to, downtimeMs, totalMs }, 'the QEMU was replaced');
    if (now.hasEnded) throw new GodwitError('GW_QEMU_GONE', { vm: name, reason: 'the new QEMU has ended' });
    return { vm: name, pid, memoryCopiedBytes: 0, ...outcome.measured, notes: [...outcome.measured.notes] };
  }

  async #takeOver(vm: Vm, record: VmRecord): Promise<Vm> {
    const { registry, stateDirectory, log } = this.#options;
    const { vm: now, isSaved } = await registry.replaced(vm, record);
    if (isSaved) removeUpgradeJournal(upgradeJournalPath(stateDirectory, vm.name));
    void announceNics(record.nics ?? [], this.#over.signal).catch((error: unknown) => {
      log.warn({ vm: vm.name, reason: explain(error) }, 'cannot tell the network where the VM is');
    });
    return now;
  }

  /** Its thread has died. */
  async #recover(name: string): Promise<UpgradeOutcome> {
    const { stateDirectory, log } = this.#options;
    const note = (reason: string): void => log.warn({ vm: name, reason }, 'replacing a QEMU');
    const decision = await recoverUpgrade(stateDirectory, name, note);
    if (decision?.kind === 'goOn') return { kind: 'upgraded', vm: decision.vm, measured: NOT_MEASURED };
    removeUpgradeJournal(upgradeJournalPath(stateDirectory, name));
    const error = new GodwitError('GW_UPGRADE_FAILED', { vm: name, reason: 'the thread that did it has died' });
    return { kind: 'stayed', error: error.toBody() };
  }
}

const UNKNOWN = { binary: 'unknown', version: 'unknown' } as const;
const NOT_MEASURED: UpgradeMeasurements = {
  ...{ from: UNKNOWN, to: UNKNOWN, downtimeMs: null, saveMs: 0, loadMs: 0, commitMs: 0, resumeMs: 0 },
  ...{ totalMs: 0, stateBytes: 0, notes: ['The thread that replaced the QEMU has died, and with it what it measured'] },
};

/**
 * What an earlier daemon had begun, before this one looks for its VMs. Never throws: one VM keeps no daemon from starting.
 * @returns of which VMs nobody can tell which of two QEMUs has them, and why
 */
export async function recoverUpgrades(stateDirectory: string, log: Logger): Promise<ReadonlyMap<string, string>> {
  const undecided = new Map<string, string>();
  const store = new VmStore(stateDirectory);
  for (const stored of store.loadAll().vms) {
    const { name } = stored.record;
    const path = upgradeJournalPath(stateDirectory, name);
    try {
      const note = (reason: string): void => log.warn({ vm: name, reason }, 'replacing a QEMU');
      const decision = await recoverUpgrade(stateDirectory, name, note);
      if (!decision) continue;
      // Otherwise it was written down already, and the VM may even be another one by now.
      if (decision.kind === 'goOn' && stored.record.qmpPath === decision.old.qmpPath) {
        store.save({ ...stored, record: decision.vm, ended: null });
        store.removeInstance(stored.record);
      }
      removeUpgradeJournal(path);
      log.info({ vm: name, decision: decision.kind }, 'a QEMU was being replaced when the daemon ended');
    } catch (error) {
      const reason = `it cannot be told which of two QEMUs has it: ${explain(error)}`;
      log.error({ vm: name, path, reason }, 'both QEMUs are left as they are');
      undecided.set(name, reason);
    }
  }
  return undecided;
}

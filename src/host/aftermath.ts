/**
 * What this host does around a migration that is not the migration's own: hooks before and after, and telling the network
 * where the VM is.
 *
 * Owns: the reports, stored as soon as there are any and completed when this is done. Must hold: nothing of it keeps a VM
 * from its user or a migration from its end.
 */
import { randomUUID } from 'node:crypto';
import { asGodwitError, explain } from '../base/errors.ts';
import type { MigrationHandle, VmSettlement } from '../migration/handle.ts';
import type { HookReport, MigrationReport } from '../migration/report.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { learnAddresses } from '../network/addresses.ts';
import { announceNics } from '../network/announcing.ts';
import type { AttachedNic } from '../network/nic.ts';
import { announce } from '../qemu/run-state.ts';
import type { Hooks } from './hooks.ts';
import type { Logger } from './logger.ts';
import type { MigrationStore } from './migration-store.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface AftermathParts {
  readonly registry: Pick<VmRegistry, 'get' | 'find' | 'ofMigration'>;
  readonly store: MigrationStore;
  readonly hooks: Hooks;
  readonly log: Logger;
}

/** What has been done so far. */
interface Doings {
  readonly hooks: HookReport[];
  announcements: number | null;
}

/** A migration that may begin. */
export interface Departure {
  readonly id: string;
  readonly vm: string;
  /** HOST:PORT. */
  readonly to: string;
  /** The VM's interfaces, with the addresses that this host has seen. */
  readonly nics: readonly AttachedNic[];
}

export class Aftermath implements Disposable {
  readonly #parts: AftermathParts;
  /** Of migrations whose report is not complete. */
  readonly #doings = new Map<string, Doings>();
  readonly #over = new AbortController();

  constructor(parts: AftermathParts) {
    this.#parts = parts;
  }

  /**
   * Begins a migration, unless the hook `preMigrate` refuses it; where it cannot begin `postRollback` is run.
   * @throws GW_HOOK_REFUSED, and what `begin` throws
   */
  async begin<T>(vm: string, to: string, begin: (departure: Departure) => Promise<T>): Promise<T> {
    const { hooks, registry } = this.#parts;
    const id = randomUUID();
    const leaving = registry.get(vm);
    const { record } = leaving;
    const occasion = { vm: record, migration: id, direction: 'outgoing', peer: to } as const;
    this.#doings.set(id, { hooks: await hooks.ask(occasion), announcements: null });
    try {
      return await begin({ id, vm, to, nics: await this.#learn(record) });
    } catch (error) {
      this.#doings.delete(id);
      // Another migration has taken it meanwhile, and its end is told by that one's hooks.
      if (leaving.view().state !== 'leaving') void hooks.run('postRollback', occasion);
      throw error;
    }
  }

  /** @param finished - resolves when the migration has ended and its report is stored */
  follow(handle: MigrationHandle, finished: Promise<unknown>): void {
    const doings = this.#doings.get(handle.id) ?? { hooks: [], announcements: null };
    this.#doings.set(handle.id, doings);
    const leaving = handle.direction === 'outgoing' ? this.#parts.registry.ofMigration(handle)?.record : undefined;
    let stood = false;
    const stopListening = handle.onEvent((event) => {
      if (event.kind === 'phaseChanged' && event.phase === 'stopping') stood = true;
    });
    void this.#follow(handle, finished, { doings, leaving, stood: () => stood })
      .catch((error: unknown) => {
        this.#parts.log.warn({ migration: handle.id, reason: explain(error) }, 'not all was done after a migration');
      })
      .finally(() => {
        stopListening();
        this.#doings.delete(handle.id);
      });
  }

  /** Also tells the log. Never throws: what has happened is not undone by a disk that is full. */
  store(report: MigrationReport): MigrationReport {
    const complete = this.#completed(report);
    try {
      this.#parts.store.save(complete);
    } catch (error) {
      this.#parts.log.error({ migration: report.id, reason: explain(error) }, 'cannot store the report');
    }
    const { id: migration, vm, outcome, totalMs, downtimeMs } = report;
    this.#parts.log.info({ migration, vm, outcome, totalMs, downtimeMs }, report.error?.message ?? 'migration ended');
    return complete;
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }

  async #follow(
    handle: MigrationHandle,
    finished: Promise<unknown>,
    known: { readonly doings: Doings; readonly leaving: VmRecord | undefined; stood(): boolean },
  ): Promise<void> {
    const { doings, leaving } = known;
    const settlement = await handle.vmSettled;
    const vm = settlement.kind === 'arrived' ? settlement.vm : leaving;
    if (!handle.hasVm || !vm) return;
    if (settlement.kind === 'arrived') {
      await Promise.all([this.#announce(vm, doings), this.#run('postResume', handle, vm, doings)]);
      await finished;
    } else {
      await finished;
      const isBack = settlement.kind === 'stays';
      if (isBack && (known.stood() || this.#parts.store.get(handle.id)?.interrupted)) {
        await Promise.all([this.#announce(vm, doings), this.#sayByQemu(vm)]);
      }
      const hook = hookAfter(settlement);
      if (hook) await this.#run(hook, handle, vm, doings);
    }
    this.#parts.store.amend(handle.id, (report) => this.#completed(report));
  }

  #completed(report: MigrationReport): MigrationReport {
    const { hooks, announcements } = this.#doings.get(report.id) ?? report;
    return { ...report, hooks: [...hooks], announcements };
  }

  async #announce({ name, nics = [] }: VmRecord, doings: Doings): Promise<void> {
    try {
      doings.announcements = await announceNics(nics, this.#over.signal);
    } catch (error) {
      this.#parts.log.warn({ vm: name, reason: explain(error) }, 'cannot tell the network where the VM is');
    }
  }

  /** Through its own taps, from which this host's bridge learns. At an arrival the migration does it. */
  async #sayByQemu({ name, nics = [] }: VmRecord): Promise<void> {
    const vm = this.#parts.registry.find(name);
    if (nics.length === 0 || !vm) return;
    await vm.reach().then(announce, (error: unknown) => {
      // Somebody has it, or it has ended.
      this.#parts.log.info({ vm: name, reason: asGodwitError(error).message }, 'QEMU was not told to announce the VM');
    });
  }

  async #run(hook: 'postResume' | 'postRelease' | 'postRollback', handle: MigrationHandle, vm: VmRecord, to: Doings) {
    const { id: migration, direction, peer } = handle;
    to.hooks.push(...(await this.#parts.hooks.run(hook, { vm, migration, direction, peer })));
  }

  async #learn({ name, nics = [] }: VmRecord): Promise<readonly AttachedNic[]> {
    try {
      return await learnAddresses(nics);
    } catch (error) {
      this.#parts.log.warn({ vm: name, reason: explain(error) }, 'cannot look for the addresses of the VM');
      return nics;
    }
  }
}

function hookAfter({ kind }: VmSettlement): 'postRelease' | 'postRollback' | undefined {
  if (kind === 'left') return 'postRelease';
  return kind === 'stays' ? 'postRollback' : undefined;
}

/**
 * What is written down of regions that come to this host, until nothing of them is watched any more.
 *
 * Owns: the records of this daemon, and those that an earlier one has left. Must hold: see group-records.ts.
 */
import { existsSync, rmSync } from 'node:fs';
import { explain } from '../base/errors.ts';
import { isAlive, type ProcessIdentity } from '../linux/process.ts';
import {
  type ComingRegionRecord,
  ComingRegionSchema,
  GroupRecords,
  idOfKey,
  journalPath,
  type StoredLeftVm,
} from './group-records.ts';
import type { Logger } from './logger.ts';
import type { RegionClaim } from './region-claim.ts';

/** Of a region that is on its way here. */
export interface ComingRegionView {
  readonly region: string;
  /** Id of the group's migration. */
  readonly group: string;
  readonly from: string;
  /** All VMs that have it. */
  readonly vms: readonly string[];
  /** QEMUs of this host that have it, whether their VMs run here yet or not. */
  readonly attached: readonly (ProcessIdentity & { readonly vm: string })[];
}

export class ComingRecords {
  readonly #records: GroupRecords<ComingRegionRecord>;
  readonly #log: Pick<Logger, 'warn'>;
  #left: readonly ComingRegionRecord[];

  constructor(stateDirectory: string, log: Pick<Logger, 'warn' | 'error'>) {
    this.#log = log;
    this.#records = new GroupRecords(stateDirectory, 'regions-coming', ComingRegionSchema);
    this.#left = this.#records.load((path, reason) => {
      log.error({ path, reason }, 'cannot read which shared memory was coming');
    });
  }

  /** Names of regions whose files must stay, whoever has them: those that came to an earlier daemon. */
  get heldRegions(): string[] {
    return this.#left.map(({ region }) => region.name);
  }

  /** Those of an earlier daemon; once. */
  takeLeft(): readonly ComingRegionRecord[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  /** Whether the thread of an earlier daemon has kept anything; without a VM that has the region nothing had come. */
  canResume({ sessionKey, attached }: ComingRegionRecord): boolean {
    return attached.length > 0 && existsSync(journalPath('destination', sessionKey));
  }

  /** @throws when it cannot be written down */
  save(record: ComingRegionRecord): void {
    this.#records.save(idOfKey(record.sessionKey), record);
  }

  /** A VM has the region here. @throws when it cannot be written down */
  attach(record: ComingRegionRecord, vm: StoredLeftVm): ComingRegionRecord {
    const others = record.attached.filter((other) => other.vm !== vm.vm);
    const joined = { ...record, attached: [...others, vm] };
    this.save(joined);
    return joined;
  }

  /** What cannot be removed does no harm to any VM. */
  forget({ sessionKey, group }: ComingRegionRecord, claim: RegionClaim): void {
    claim[Symbol.dispose]();
    try {
      rmSync(journalPath('destination', sessionKey), { force: true });
      this.#records.remove(idOfKey(sessionKey));
    } catch (error) {
      this.#log.warn({ group, reason: explain(error) }, 'cannot remove what was kept of shared memory');
    }
  }
}

export function viewOfComing({ region, group, sourceHost, vms, attached }: ComingRegionRecord): ComingRegionView {
  return { region: region.name, group, from: sourceHost, vms, attached: attached.filter(isAlive) };
}

/**
 * How migrations of groups end, for each VM of them.
 *
 * Owns: one question a group, however many of its VMs are waited for. Must hold: bytes of memory that VMs share are counted once, for the
 * first that has arrived.
 */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { EvacuationHosts, GroupEnd } from './evacuation-port.ts';

interface MemberEnd {
  readonly group: GroupMigrationView;
  /** null: it has not arrived. */
  readonly arrived: { readonly migration: MigrationView; readonly sharedBytes: number } | null;
}

export class GroupEnds {
  readonly #hosts: Pick<EvacuationHosts, 'endOfGroup'>;
  readonly #ends = new Map<string, Promise<GroupEnd>>();
  readonly #counted = new Set<string>();

  constructor(hosts: Pick<EvacuationHosts, 'endOfGroup'>) {
    this.#hosts = hosts;
  }

  /** @param id - of the group's migration @param watching - the same for all of one evacuation */
  async of(host: string, id: string, vm: string, watching: AbortSignal): Promise<MemberEnd> {
    const { group, migrations } = await (this.#ends.get(id) ?? this.#ask(host, id, watching));
    const migration = migrations.find((each) => each.vm === vm);
    if (group.state !== 'completed' || migration?.report?.outcome !== 'completed') return { group, arrived: null };
    const isFirst = !this.#counted.has(id);
    this.#counted.add(id);
    const sharedBytes = isFirst ? group.regions.reduce((sum, { wireBytes }) => sum + wireBytes, 0) : 0;
    return { group, arrived: { migration, sharedBytes } };
  }

  #ask(host: string, id: string, watching: AbortSignal): Promise<GroupEnd> {
    const end = this.#hosts.endOfGroup(host, id, watching);
    const forget = (): void => void this.#ends.delete(id);
    this.#ends.set(id, end);
    end.then(forget, forget);
    return end;
  }
}

/**
 * What the migration of a group needs of its host, and what an earlier daemon has left of it.
 */
import type { GroupMemberView, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupMemberPort } from './group-member-port.ts';
import type { MovingRegionsPort } from './moving-regions.ts';

type MemberNeeds = 'start' | 'hasEnded' | 'reportOf' | 'retryMs' | 'overdueMs';

export interface GroupMigrationPort extends Pick<GroupMemberPort, MemberNeeds> {
  /** Why the VM cannot move to the other host, which has the regions by now. */
  check(vm: string): Promise<readonly string[]>;
  readonly openRegion: MovingRegionsPort['open'];
  /** Of a group that an earlier daemon has begun to move: whether the VM is this host's. It can take as long as a host is away. */
  isHere(vm: string): Promise<boolean>;
  changed(view: GroupMigrationView): void;
}

/** When it was begun, and by whom. */
export interface GroupBeginning {
  readonly startedAtMs: number;
  /** What an earlier daemon, which has begun it, has written down of its VMs; null: it begins now. */
  readonly members: readonly GroupMemberView[] | null;
}

/**
 * What a group on its way waits for, in a sentence for people.
 *
 * Pure. Must hold: where a user can do something about it, the sentence says what.
 */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';

type Facts = Pick<GroupMigrationView, 'group' | 'to' | 'state' | 'members' | 'regions'>;

/** @param uncalled - VMs that stay until they touch memory that has gone. @returns null: it has ended */
export function findWaitsFor(facts: Facts, uncalled: readonly string[]): string | null {
  const { group, to, state, members, regions } = facts;
  const cut = regions.filter(({ connected }) => !connected).map(({ name }) => name);
  switch (state) {
    case 'preparing':
      return `${to} to make room for ${named('shared memory', names(regions))}`;
    case 'moving':
    case 'split': {
      if (state === 'split' && cut.length > 0) return lost(cut, to);
      const coming = members.filter(({ vm, state: now }) => now === 'moving' && !uncalled.includes(vm));
      const parts = [
        ...(coming.length > 0
          ? [
              `${named(
                'VM',
                coming.map(({ vm }) => vm),
              )} to arrive at ${to}`,
            ]
          : []),
        ...(state === 'split' && uncalled.length > 0
          ? [`${named('VM', uncalled)} to touch memory that has gone (to call them now: godwit group follow ${group})`]
          : []),
      ];
      return parts.length > 0 ? parts.join('; ') : `its VMs to leave`;
    }
    case 'completing': {
      if (cut.length > 0) return lost(cut, to);
      const pages = regions.reduce((sum, { pagesLeft }) => sum + pagesLeft, 0);
      return `the last ${pages} pages of ${named('shared memory', names(regions))}`;
    }
    default:
      return null;
  }
}

function lost(regions: readonly string[], to: string): string {
  return `the connection of ${named('shared memory', regions)} to ${to}, which is dialled again and again`;
}

function names(regions: readonly { readonly name: string }[]): string[] {
  return regions.map(({ name }) => name);
}

function named(kind: string, each: readonly string[]): string {
  return `${kind} ${each.join(', ')}`;
}

/** How it is told what keeps a VM where it is. */
import { GodwitError } from '../base/errors.ts';
import type { Blocker } from '../qemu/blocker.ts';

export function explainBlockers(blockers: readonly Blocker[]): string {
  return blockers.map(({ what, reason, fix }) => `${what}: ${reason} (${fix})`).join('; ');
}

/** @returns GW_MIGRATION_BLOCKED, with the blockers themselves in its details */
export function blockedBy(vm: string, blockers: readonly Blocker[]): GodwitError {
  const reason = explainBlockers(blockers);
  return new GodwitError('GW_MIGRATION_BLOCKED', { vm, reason, blockers: blockers.map((blocker) => ({ ...blocker })) });
}

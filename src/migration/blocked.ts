/** The error that says what keeps a VM where it is. */
import { GodwitError } from '../base/errors.ts';
import type { Blocker } from '../qemu/blocker.ts';

/** @returns GW_MIGRATION_BLOCKED, with the blockers themselves in its details */
export function blockedBy(vm: string, blockers: readonly Blocker[]): GodwitError {
  const reason = blockers.map((blocker) => `${blocker.what}: ${blocker.reason} (${blocker.fix})`).join('; ');
  return new GodwitError('GW_MIGRATION_BLOCKED', { vm, reason, blockers: blockers.map((blocker) => ({ ...blocker })) });
}

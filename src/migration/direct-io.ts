/**
 * Disks with direct I/O (`cache=none`) and rounds of pre-copy do not go together.
 *
 * Owns: the rule. The kernel pins a guest page for such a read and the disk writes it some time later, past every page
 * table: a page that was collected, re-protected and sent in between stays outdated at the destination, unnoticed.
 * Post-copy sends nothing before the stop, and the stop waits for the disks.
 */
import { GodwitError } from '../base/errors.ts';
import type { Blocker } from '../qemu/blocker.ts';
import type { DiskFacts } from '../qemu/disk-facts.ts';
import type { MigrationOptions } from './request.ts';

export interface DirectIoRule {
  readonly options: MigrationOptions;
  /** What the user is told when the mode is another than was asked for. */
  readonly note: string | null;
}

const REASON = 'direct I/O, whose writes to memory no write-protection sees';
const FIX = 'use --mode post-copy or auto, or start the VM with cache=writeback for its disks';

/** @throws GW_MIGRATION_BLOCKED for a mode that cannot be right */
export function applyDirectIo(vm: string, disks: readonly DiskFacts[], options: MigrationOptions): DirectIoRule {
  const direct = disks.filter((disk) => disk.direct).map(({ id, file }) => `${id} (${file})`);
  if (direct.length === 0 || options.mode === 'post-copy') return { options, note: null };
  const what = direct.join(', ');
  if (options.mode === 'auto') {
    return { options: { ...options, mode: 'post-copy' }, note: `${what}: ${REASON}; going by post-copy` };
  }
  const blocker: Blocker = { id: 'direct-io', what, reason: REASON, fix: FIX };
  throw new GodwitError('GW_MIGRATION_BLOCKED', {
    vm,
    reason: `${what}: ${REASON} (${FIX})`,
    blockers: [{ ...blocker }],
  });
}

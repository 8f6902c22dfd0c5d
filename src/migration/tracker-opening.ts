/**
 * Which tracker a migration gets.
 *
 * Owns: the choice. Must hold: what is returned tracks already; where the kernel cannot find written pages by itself (it
 * can from 6.7 on) they are found by write faults, and it is said why; what was asked for by name is not replaced.
 */
import { type GodwitError, hasCode } from '../base/errors.ts';
import { parseTracker } from '../base/tracker-choice.ts';
import { type DirtyTracker, KernelDirtyTracker } from '../memory/dirty-tracker.ts';
import { GroupDirtyTracker, type GroupTrackerOptions } from './group-tracker.ts';

export type TrackerParts = Omit<GroupTrackerOptions, 'pages'>;

export interface OpenedTracker {
  readonly tracker: DirtyTracker;
  /** Why it is not the one that was asked for; null when it is. */
  readonly reason: string | null;
}

/** How each kind is made; tests have others. */
export interface TrackerMakers {
  kernel(parts: TrackerParts): DirtyTracker;
  groups(options: GroupTrackerOptions): Promise<DirtyTracker>;
}

const MAKERS: TrackerMakers = {
  kernel: ({ qemu, layout, starts }) => KernelDirtyTracker.open(qemu.pid, layout, starts),
  groups: (options) => GroupDirtyTracker.open(options),
};

/** @param choice - as in `MigrationOptions.tracker` */
export async function openTracker(
  choice: string,
  parts: TrackerParts,
  makers: TrackerMakers = MAKERS,
): Promise<OpenedTracker> {
  const asked = parseTracker(choice) ?? { kind: 'kernel' };
  if (asked.kind === 'groups') {
    return { tracker: started(await makers.groups({ ...parts, pages: asked.pages })), reason: null };
  }
  try {
    return { tracker: started(makers.kernel(parts)), reason: null };
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    const reason = `The kernel cannot find written pages by itself: ${error.message}`;
    return { tracker: started(await makers.groups({ ...parts, pages: 'auto' })), reason };
  }
}

function started(tracker: DirtyTracker): DirtyTracker {
  try {
    tracker.start();
    return tracker;
  } catch (error) {
    tracker.stop();
    throw error;
  }
}

/** A feature of userfaultfd, or the ioctl itself, that the kernel does not know. */
export function isUnsupported(error: unknown): error is GodwitError {
  if (hasCode(error, 'GW_SYS_UNSUPPORTED')) return true;
  return hasCode(error, 'GW_SYS_CALL') && error.details['errno'] === 'ENOTTY';
}

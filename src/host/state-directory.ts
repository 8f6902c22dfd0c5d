/**
 * The state directory when a daemon starts: it can be written, and what dead daemons have left is gone.
 *
 * Must hold: what cannot be removed keeps no daemon from starting; it does no harm.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { explain, GodwitError } from '../base/errors.ts';
import { releaseStaleThrottle } from '../linux/cpu-bandwidth.ts';
import { removeLeftSaveDirectories } from '../migration/save-directory.ts';
import type { VisitStore } from '../migration/visit-store.ts';
import type { Logger } from './logger.ts';
import type { VmRegistry } from './vm-registry.ts';

/** @throws GW_HOST_START */
export function prepareStateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const reason = `the state directory ${path} cannot be written (${code}): run as root or give --state DIR`;
    throw new GodwitError('GW_HOST_START', { reason }, { cause: error });
  }
}

/** After daemons that were killed. */
export function tidyUp(visits: VisitStore, registry: VmRegistry, log: Logger): void {
  try {
    // One whose watchdog was killed with it (the unit's whole control group was) has left its VMs slowed.
    for (const { name } of registry.list()) releaseStaleThrottle(name);
    visits.tidy();
    for (const path of removeLeftSaveDirectories()) log.info({ path }, 'removed what a dead daemon had left');
  } catch (error) {
    log.warn({ reason: explain(error) }, 'cannot remove what dead daemons have left');
  }
}

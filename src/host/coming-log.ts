/**
 * What the log says of shared memory on its way here.
 */
import type { RegionDestinationEvent } from '../sharing/region-threads.ts';
import type { Logger } from './logger.ts';

export function logComing(
  log: Pick<Logger, 'info' | 'warn' | 'error'>,
  facts: { readonly group: string; readonly region: string },
  event: RegionDestinationEvent,
): void {
  switch (event.kind) {
    case 'linkLost':
      log.warn({ ...facts, reason: event.reason }, 'the connection of shared memory is lost');
      return;
    case 'linkBack':
      log.info(facts, 'the connection of shared memory is back');
      return;
    case 'noted':
      log.warn(facts, event.text);
      return;
    case 'failed':
      log.error({ ...facts, reason: event.error.message }, 'shared memory does not come');
      return;
    case 'completed': {
      const { faults, lentFaults, tally, received, wireBytes } = event.report;
      log.info({ ...facts, faults, lentFaults, tally, received, wireBytes }, 'shared memory is all here');
      return;
    }
    case 'cancelled':
      log.info(facts, 'shared memory: cancelled');
  }
}

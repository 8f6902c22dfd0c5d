/**
 * The place of a region that another host offers: a file that no VM of this host has, and room for it.
 *
 * Must hold: what is refused changes nothing.
 */
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { hugePagesAt } from '../linux/huge-tmpfs.ts';
import { RAM_DIRECTORY } from '../migration/vm-record.ts';
import type { Message } from '../wire/messages.ts';
import type { ComingRegionRecord } from './group-records.ts';
import { lackOfRoom } from './memory-room.ts';
import type { RegionClaim } from './region-claim.ts';
import { whyNotOn } from './region-file.ts';
import type { VmRegistry } from './vm-registry.ts';

/** Anything on the file system of regions. */
const RAM_PATH = join(RAM_DIRECTORY, 'region');
/** Each has a thread of its own. */
const MAX_COMING = 16;

/** @param coming - those on their way here already. @throws GW_REGION_REFUSED, GW_SYS_NO_ROOM */
export function claimComing(
  { registry, hostName }: { readonly registry: Pick<VmRegistry, 'regions'>; readonly hostName: string },
  coming: readonly ComingRegionRecord[],
  { region, group, sourceHost, sessionKey }: Message<'offerRegion'>,
): RegionClaim {
  const { name, bytes } = region;
  registry.regions.removeLeft();
  const refuse = (reason: string): GodwitError =>
    new GodwitError('GW_REGION_REFUSED', { host: hostName, region: name, reason });
  const owners = registry.regions.list().find((known) => known.name === name);
  if (owners || coming.some((record) => record.region.name === name)) {
    const company = owners ? ` (VM ${owners.members.map(({ vm }) => vm).join(', ')})` : '';
    throw refuse(`this host has shared memory of that name already${company}`);
  }
  const occupant = registry.regions.occupantOf(name);
  if (occupant !== undefined) throw refuse(`this host has shared memory of that name, and ${occupant}`);
  if (coming.some((record) => record.sessionKey === sessionKey)) {
    throw refuse('a region with its session key is on its way here already');
  }
  const huge = hugePagesAt(RAM_DIRECTORY);
  if (huge !== undefined) throw refuse(whyNotOn(huge));
  if (coming.length >= MAX_COMING) throw refuse(`${MAX_COMING} regions are on their way here already`);
  // The files of those that are coming are holes so far.
  const promisedBytes = coming.reduce((sum, record) => sum + record.region.bytes, 0);
  const lack = lackOfRoom({ ramBytes: 0, sharedBytes: bytes, ramPath: RAM_PATH, promisedBytes }, hostName);
  if (lack) throw lack;
  return registry.regions.claim(nameOf({ group, sourceHost }), [{ name, sizeBytes: bytes }], 'moving');
}

/** As who claims the region. */
export function nameOf({ group, sourceHost }: Pick<ComingRegionRecord, 'group' | 'sourceHost'>): string {
  return `group ${group.slice(0, 8)} from ${sourceHost}`;
}

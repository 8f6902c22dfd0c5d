/**
 * What the source of planned moves is told.
 *
 * Pure. Must hold: what the policies of VMs ask for is kept by whatever moves them, and of two limits of bandwidth the lower counts;
 * where one migration moves several VMs (a group) each keeps its mode, and of the rest the strictest counts for all.
 */
import type { GroupMigrateBody } from '../api/group-migration-schema.ts';
import type { MigrateBody } from '../api/migration-schema.ts';
import type { PlannedMove } from '../fleet/plan.ts';
import { LONGEST_HOLD_MS, type TimeoutAction } from '../migration/request.ts';
import { optionsOf, type PolicySettings } from './fleet-labels.ts';
import type { FleetPicture, PicturedVm } from './fleet-picture.ts';

/** The first leaves most as it was. */
const STRICTEST_FIRST: readonly TimeoutAction[] = ['cancel', 'pause', 'post-copy'];

/** @param isJoint - others are to switch over at the same moment: it waits for as long as predictions may be off */
export function requestFor(move: PlannedMove, picture: FleetPicture, isJoint: boolean = false): MigrateBody {
  const body = bodyFor(move, picture, settingsOf(vmOf(move, picture)));
  return isJoint ? { ...body, hold: { atMostMs: LONGEST_HOLD_MS } } : body;
}

/** @param moves - of VMs that share memory; the group begins as the first of them */
export function groupRequestFor(moves: readonly PlannedMove[], picture: FleetPicture): GroupMigrateBody {
  const vms = moves.map((move) => vmOf(move, picture));
  const modes = Object.fromEntries(
    vms.flatMap((vm) => {
      const { mode } = settingsOf(vm);
      return vm && mode ? [[vm.outlook.name, mode]] : [];
    }),
  );
  const { finishByMs, ...body } = bodyFor(moves[0]!, picture, strictest(vms));
  // Each of them is asked for it, from when its turn comes (fleet/deadline.ts).
  const canPromise = finishByMs !== undefined && !Object.values(modes).includes('pre-copy');
  return {
    ...body,
    ...(canPromise ? { finishByMs } : {}),
    ...(Object.keys(modes).length === 0 ? {} : { modes }),
  };
}

function bodyFor(
  { from, to, limitBytesPerSecond, finishByMs }: PlannedMove,
  { addresses, ratedHosts, base }: FleetPicture,
  settings: PolicySettings,
): MigrateBody {
  // What is only assumed is no limit, unless somebody else is to have a part of it.
  const isRated = base.links.length > 0 || ratedHosts.has(from) || ratedHosts.has(to);
  const limits = [settings.bandwidthBytesPerSecond ?? 0, isRated ? Math.round(limitBytesPerSecond) : 0];
  const bandwidthBytesPerSecond = lowest(limits);
  return {
    ...settings,
    to: addresses.get(to)!,
    ...(bandwidthBytesPerSecond > 0 ? { bandwidthBytesPerSecond } : {}),
    ...(finishByMs === null ? {} : { finishByMs: Math.round(finishByMs) }),
  };
}

/** Of all but modes. What no policy speaks of is left to the defaults; a VM without a word on it counts with its default. */
function strictest(vms: readonly (PicturedVm | undefined)[]): PolicySettings {
  const said = vms.map(settingsOf);
  const all = vms.map((vm) => optionsOf(vm?.policy ?? null));
  const limit = lowest(all.map(({ bandwidthBytesPerSecond }) => bandwidthBytesPerSecond));
  const timeoutMs = lowest(all.map((options) => options.timeoutMs));
  const actions = new Set(said.map(({ onTimeout }) => onTimeout));
  const onTimeout = STRICTEST_FIRST.find((action) => actions.has(action));
  return {
    ...(limit > 0 ? { bandwidthBytesPerSecond: limit } : {}),
    ...(timeoutMs > 0 ? { timeoutMs } : {}),
    ...(onTimeout ? { onTimeout } : {}),
    ...(said.some(({ maxDowntimeMs }) => maxDowntimeMs !== undefined)
      ? { maxDowntimeMs: Math.min(...all.map(({ maxDowntimeMs }) => maxDowntimeMs)) }
      : {}),
    ...(all.some(({ verify }) => verify) ? { verify: true } : {}),
  };
}

function settingsOf(vm: PicturedVm | undefined): PolicySettings {
  return vm?.policy?.settings ?? {};
}

function vmOf({ vm, from }: PlannedMove, { vms }: FleetPicture): PicturedVm | undefined {
  return vms.find(({ fleetVm }) => fleetVm.name === vm && fleetVm.host === from);
}

/** Of limits, of which 0 is none. */
function lowest(limits: readonly number[]): number {
  const given = limits.filter((limit) => limit > 0);
  return given.length === 0 ? 0 : Math.min(...given);
}

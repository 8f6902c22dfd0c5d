/**
 * What an evacuation is asked to take and to leave, held against what is there.
 *
 * Pure. Must hold: a name that no VM of the host has is refused before anything moves, so that a slip in `skip` moves nothing that
 * was to stay; a VM whose policy says so stays, in plans as in evacuations, unless it is named.
 */
import { GodwitError } from '../base/errors.ts';
import type { Move } from '../fleet/fleet-state.ts';
import type { Seen } from './fleet-look.ts';
import type { FleetPicture } from './fleet-picture.ts';

export interface AskedVms {
  readonly vms?: readonly string[] | undefined;
  readonly skip?: readonly string[] | undefined;
  readonly together?: readonly (readonly string[])[] | undefined;
}

/** A host that does not answer may have them. @throws GW_INPUT_INVALID */
export function refuseAbsent({ answers }: Seen, host: string, { vms = [], skip = [], together = [] }: AskedVms): void {
  const answer = answers.find(({ name }) => name === host);
  if (!answer || !('outlook' in answer)) return;
  const here = answer.outlook.vms.map(({ name }) => name).sort();
  for (const [field, names] of Object.entries({ vms, skip, together: together.flat() })) {
    const absent = names.find((vm) => !here.includes(vm));
    if (absent === undefined) continue;
    const fix = here.length === 0 ? `host ${host} has no VMs` : `give some of ${here.join(', ')}`;
    throw new GodwitError('GW_INPUT_INVALID', { field, value: absent, fix });
  }
}

/** Of all VMs of a host, wanted from now on; those that something speaks against, or that are to be skipped, are parked with the reason. */
export function wantedMoves(
  { vms, base }: FleetPicture,
  host: string,
  asked: { readonly to: string | null; readonly deadlineAtMs: number | null; readonly skip: readonly string[] },
): Move[] {
  const { to, deadlineAtMs, skip } = asked;
  return vms
    .filter(({ fleetVm }) => fleetVm.host === host)
    .map(({ fleetVm, obstacle: own }): Move => {
      const obstacle = skip.includes(fleetVm.name) ? 'it is to stay: --skip' : own;
      const state =
        obstacle === null ? ({ kind: 'waiting' } as const) : ({ kind: 'parked', reason: obstacle } as const);
      return { vm: fleetVm.name, to, deadlineAtMs, wantedSinceMs: base.nowMs, state };
    });
}

/** @param only - VMs that were named; null: all go */
export function withStaying(picture: FleetPicture, only: readonly string[] | null): FleetPicture {
  if (only !== null) return picture;
  const vms = picture.vms.map((vm) => {
    if (vm.policy?.stays !== true || vm.obstacle !== null) return vm;
    return { ...vm, obstacle: `by the policy ${vm.policy.name} it stays: name it to move it` };
  });
  return { ...picture, vms };
}

/**
 * Fleets that were written down: making a recording of one, and simulating what its plans would come to.
 *
 * Must hold: a plan of a recording is made as a plan of the fleet itself would have been made, by the same translation, at the moment
 * of the recording; tokens are not in it.
 */
import type { FleetRecording } from '../api/fleet-recording-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { DEFAULT_BALANCE } from '../fleet/balance.ts';
import type { SimulatedFleet, SimulatedVm, SimulatedWay } from '../fleet/fleet-simulation.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { dirtyFactor } from '../fleet/quiet-phase.ts';
import type { Planner } from '../fleet/strategies.ts';
import { wantedMoves, withStaying } from './asked-vms.ts';
import { planBundled } from './bundled-plan.ts';
import type { FleetFile } from './fleet-file.ts';
import { outlookOf, type Seen } from './fleet-look.ts';
import { picture } from './fleet-picture.ts';

/** Of a way that nobody has gone: on two busy CPUs (docs/performance.md). */
const USUAL_FIXED_DOWNTIME_MS = 15;
/** Of a page, the same. */
const NAMING_MS = 0.02;
/** The middle of a rhythm's part at a moment. */
const MOMENT_MS = 1;

/** @param seen - with what is in VMs */
export function recordFleet({ atMs, file, answers, picture: { failures, closed } }: Seen): FleetRecording {
  const { links, reservations, together, policy, vms, policies } = file;
  const isSilent = (host: string): boolean => failures.some(({ name }) => name === host);
  return {
    recording: 1,
    atMs,
    fleet: {
      hosts: file.hosts.map(({ name, api, migration, bytesPerSecond, takesVms, labels }) => {
        const isOpen = takesVms && !closed.has(name) && !isSilent(name);
        return { name, api, migration, bytesPerSecond, takesVms: isOpen, labels: { ...labels } };
      }),
      links: links.map(({ name, bytesPerSecond, between: [a, b] }) => ({
        name,
        bytesPerSecond,
        between: [[...a], [...b]],
      })),
      reservations: reservations.map((each) => ({ ...each })),
      together: together.map((set) => [...set]),
      policy,
      vms: vms.map(({ pattern, labels }) => ({ pattern, labels: { ...labels } })),
      policies: policies.map((each) => ({ ...each, vms: { ...each.vms }, hosts: { ...each.hosts } })),
    },
    outlooks: answers.flatMap((answer) => outlookOf(answer) ?? []),
  };
}

/**
 * All VMs of a host leave it. Its migrations that ran at the moment of the recording are not gone on with.
 *
 * @param to - null: to wherever is best
 * @throws GW_INPUT_INVALID
 */
export function recordedFleet(
  { atMs, fleet, outlooks }: FleetRecording,
  host: string,
  to: string | null,
): { readonly fleet: SimulatedFleet; readonly plan: Planner } {
  for (const [field, value] of [
    ['--host', host],
    ['--to', to],
  ] as const)
    refuseUnknown(outlooks, field, value);
  const file: FleetFile = {
    ...fleet,
    hosts: fleet.hosts.map((each) => ({ ...each, token: null, registration: null })),
    register: null,
    balance: { ...DEFAULT_BALANCE, isAutomatic: false, fillsNewHosts: false },
  };
  const answers = outlooks.map((outlook) => ({ name: outlook.host, outlook, askedAtMs: atMs }));
  const seen = withStaying(picture(file, answers, atMs), null);
  const { base, contents } = seen;
  const bundles = seen.bundles.filter((bundle) => bundle.host === host);
  return {
    plan: (state) => planBundled(state, bundles, (whole) => nextPlan(whole, contents)),
    fleet: {
      state: { ...base, moves: wantedMoves(seen, host, { to, deadlineAtMs: null, skip: [] }) },
      contents,
      vms: base.vms.map((vm): SimulatedVm => {
        const { period } = vm;
        return { vm, isPeriodic: period !== null, writingAt: (moment) => dirtyFactor(period, moment, MOMENT_MS) };
      }),
      way: (vm, destination): SimulatedWay => {
        const { link, isLinkKnown, pair, preparingMs } = base.expect(vm, destination);
        return {
          mostBytesPerSecond: isLinkKnown ? link.bytesPerSecond : Number.POSITIVE_INFINITY,
          wholeBytes: link.wholeBytes,
          resentBytes: link.resentBytes,
          namingMs: NAMING_MS,
          preparingMs,
          fixedDowntimeMs: pair.fixedDowntimeMs ?? USUAL_FIXED_DOWNTIME_MS,
          endingMs: pair.endingMs,
          pushFactor: pair.pushFactor,
        };
      },
    },
  };
}

function refuseUnknown(outlooks: FleetRecording['outlooks'], field: string, value: string | null): void {
  const names = outlooks.map(({ host }) => host);
  if (value === null || names.includes(value)) return;
  throw new GodwitError('GW_INPUT_INVALID', { field, value, fix: `give one of ${names.join(', ')}` });
}

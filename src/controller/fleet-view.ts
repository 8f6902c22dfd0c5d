/**
 * A fleet, its plans and what its VMs have in common, as the API shows them.
 *
 * Owns: the translation. Pure.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { CommonPairView, FleetPlanView } from '../api/fleet-plan-schema.ts';
import type { FleetHostView, FleetVmView } from '../api/fleet-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { estimatePages } from '../base/page-sample.ts';
import { decodePageSample } from '../base/page-sample-code.ts';
import { explainPlan, explainRefusal } from '../fleet/explain.ts';
import { type BundledPlan, explainBundle, explainBundledMove } from './bundled-plan.ts';
import { sayThatPartial, sayThatSilent } from './evacuation-waits.ts';
import { outlookOf, type Seen } from './fleet-look.ts';
import type { FleetPicture, PicturedVm } from './fleet-picture.ts';
import { showMark } from './maintenance.ts';

export function showHosts({ file, marks, answers, heardAtMs, picture }: Seen): FleetHostView[] {
  return file.hosts.map((known): FleetHostView => {
    const { name } = known;
    const mark = marks.get(name);
    const answer = answers.find((each) => each.name === name);
    const outlook = outlookOf(answer);
    const here = picture.vms.filter(({ fleetVm }) => fleetVm.host === name);
    const failure = answer && 'failure' in answer ? answer.failure : null;
    const isRefusing = answer !== undefined && 'failure' in answer && answer.isRefusal;
    return {
      name,
      api: known.api,
      migration: picture.addresses.get(name) ?? null,
      state: failure === null ? 'up' : isRefusing ? 'refusing' : 'silent',
      failure,
      heardAtMs: heardAtMs.get(name) ?? null,
      takesVms: known.takesVms,
      maintenance: mark ? showMark(mark) : null,
      labels: { ...known.labels },
      registration: known.registration && { sinceMs: known.registration.sinceMs, beats: known.registration.beats },
      memoryBytes: outlook?.memoryBytes ?? 0,
      takenBytes: here.reduce((sum, { outlook: vm }) => sum + vm.dataPages * PAGE_SIZE, 0),
      rateBytesPerSecond: picture.base.hosts.find((each) => each.name === name)?.receiveBytesPerSecond ?? 0,
      bandwidthBytesPerSecond: outlook?.bandwidthBytesPerSecond ?? 0,
      pressure: outlook?.pressure ?? null,
      vms: here.length,
    };
  });
}

/** @param evacuations - by VM, the id of the one that it is part of */
export function showVms({ picture }: Seen, evacuations: ReadonlyMap<string, EvacuationView['id']>): FleetVmView[] {
  return picture.vms.map(({ fleetVm, outlook, labels, policy, obstacle }) => ({
    name: outlook.name,
    uuid: outlook.uuid,
    host: fleetVm.host,
    state: outlook.state,
    migration: outlook.migration,
    evacuation: evacuations.get(outlook.name) ?? null,
    labels: { ...labels },
    policy: policy?.name ?? null,
    ramBytes: outlook.ramBytes,
    dataBytes: outlook.dataPages * PAGE_SIZE,
    cpus: outlook.cpus ?? null,
    dirtyBytesPerSecond: (outlook.samples.at(-1)?.pagesPerSecond ?? 0) * PAGE_SIZE,
    period: fleetVm.period,
    obstacle,
  }));
}

export function showPlan(
  plan: BundledPlan,
  asked: Pick<FleetPlanView, 'from' | 'to' | 'deadlineAtMs'>,
  { failures, partial }: Pick<FleetPicture, 'failures' | 'partial'>,
): FleetPlanView {
  return {
    ...asked,
    ...plan,
    moves: plan.moves.map((move) => {
      const { wait, prediction } = move;
      return {
        ...move,
        wait: wait && { ...wait },
        prediction: { ...prediction },
        text: explainBundledMove(move, plan),
      };
    }),
    groups: plan.groups,
    refused: plan.refused.map(({ vm, why }) => ({ vm, why: { ...why }, text: explainRefusal(vm, why) })),
    unreachable: failures.map(({ name, failure }) => ({ name, failure })),
    late: [...plan.late],
    bundles: plan.bundles.map(({ vms, region }) => ({
      vms: [...vms],
      region,
      text: explainBundle({ host: asked.from, vms, region }),
    })),
    words: [
      ...explainPlan(plan, (move) => explainBundledMove(move, plan)),
      ...plan.bundles.map(explainBundle),
      ...failures.map((silence) => `host ${sayThatSilent(silence)}`),
      ...partial.map((host) => `host ${sayThatPartial(host)}`),
    ],
  };
}

/** The most alike first; of a VM of which there is no sample nothing is known, which is not nothing. @param host - undefined: of all hosts */
export function showCommonality({ vms, contents }: FleetPicture, host: string | undefined): CommonPairView[] {
  const chosen = vms.filter(
    ({ fleetVm, outlook }) => outlook.contents !== null && (host === undefined || fleetVm.host === host),
  );
  const sizes = new Map(chosen.map((vm) => [vm.outlook.name, contentsOf(vm)]));
  const { commonality, numbers } = contents;
  return chosen
    .flatMap(({ outlook: { name: a } }, index) =>
      chosen.slice(index + 1).map(({ outlook: { name: b } }): CommonPairView => {
        const [left, right] = [numbers.get(a)!, numbers.get(b)!];
        const pages = commonality.common(left, right);
        const smaller = Math.min(sizes.get(a)!, sizes.get(b)!);
        return {
          a,
          b,
          commonBytes: pages * PAGE_SIZE,
          standardErrorBytes: commonality.standardError(left, right) * PAGE_SIZE,
          part: smaller === 0 ? 0 : Math.min(1, pages / smaller),
        };
      }),
    )
    .sort((one, other) => other.commonBytes - one.commonBytes);
}

/** Pages of different contents, estimated. */
function contentsOf({ outlook }: PicturedVm): number {
  const sample = outlook.contents === null ? undefined : decodePageSample(outlook.contents);
  return sample ? estimatePages({ ...sample, counts: sample.counts.map(() => 1) }).value : 0;
}

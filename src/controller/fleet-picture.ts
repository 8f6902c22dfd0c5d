/**
 * What the planner is told, put together from what each host tells of itself.
 *
 * Owns: the translation. Pure. Must hold: a host that does not answer is none that VMs are sent to, but what it told last still
 * counts, since VMs may be on their way there; a VM that something speaks against is told of with the reason, and not left out.
 */
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { type FleetContents, joinContents, type VmContents } from '../fleet/fleet-contents.ts';
import type { FleetHost, FleetState, FleetVm } from '../fleet/fleet-state.ts';
import { createPageSample } from '../fleet/page-sample.ts';
import { decodePageSample } from '../fleet/page-sample-code.ts';
import { findPeriod } from '../fleet/period.ts';
import { type DirtySample, fitDirtyCurve } from '../migration/dirty-curve.ts';
import { dirtySamplesOf } from '../migration/history.ts';
import { expectOf } from '../migration/known-links.ts';
import type { FleetFile } from './fleet-file.ts';
import { type Labels, labelsOf, type MigrationPolicy, optionsOf, policyOf } from './fleet-labels.ts';

/** One host, asked just now. */
export type Answer =
  | { readonly name: string; readonly outlook: OutlookView }
  /** `last`: what it told before it fell silent. */
  | {
      readonly name: string;
      readonly failure: string;
      readonly last?: OutlookView;
      /** It answers, with this. */
      readonly refusal?: GodwitError;
    };

/** A host that does not answer. */
export interface Silence {
  readonly name: string;
  readonly failure: string;
  readonly takesVms: boolean;
}

/** A VM of the fleet, and what people are told of it besides the plan. */
export interface PicturedVm {
  readonly fleetVm: FleetVm;
  readonly outlook: OutlookVm;
  readonly labels: Labels;
  /** It is migrated by; null: by the defaults. */
  readonly policy: MigrationPolicy | null;
  /** Why it is not moved by itself; null: nothing speaks against it. */
  readonly obstacle: string | null;
}

export interface FleetPicture {
  /** All of a state but the moves. */
  readonly base: Omit<FleetState, 'moves'>;
  readonly contents: FleetContents;
  /** Where each host that has ever answered is reached by the others, by its name. */
  readonly addresses: ReadonlyMap<string, string>;
  readonly vms: readonly PicturedVm[];
  readonly failures: readonly Silence[];
}

/** Of a VM of which nothing is known: see predictor.ts. */
const USUAL_WORKING_PART = 0.05;
/** The newest looks at a VM say how it writes: an hour. */
const CURVE_SAMPLES = 60;

/** Addresses that lead each host to itself. */
const OWN_ADDRESS = /^(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:127\.[\d.]+\]):\d+$/;

export function picture(file: FleetFile, answers: readonly Answer[], nowMs: number): FleetPicture {
  const heard = answers.flatMap((answer) => {
    const outlook = 'outlook' in answer ? answer.outlook : answer.last;
    return outlook ? [{ name: answer.name, outlook }] : [];
  });
  const failures = answers.flatMap((answer): Silence[] => {
    if ('outlook' in answer) return [];
    const { name, failure } = answer;
    return [{ name, failure, takesVms: file.hosts.some((host) => host.name === name && host.takesVms) }];
  });
  const silent = new Set(failures.map(({ name }) => name));
  const named = heard.flatMap(({ outlook }) => outlook.vms.map((vm) => vm.name));
  const vms = heard.flatMap(({ name, outlook }) =>
    outlook.vms.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((vm) => pictureVm(vm, name, named, file)),
  );
  const addresses = new Map(heard.map(({ name, outlook }) => [name, addressOf(file, name, outlook)]));
  const outlooks = new Map(heard.map(({ name, outlook }) => [name, outlook]));
  const uuids = new Map(vms.map(({ fleetVm, outlook }) => [fleetVm.name, outlook.uuid]));
  return {
    base: {
      nowMs,
      hosts: file.hosts.flatMap((known): FleetHost[] => {
        const outlook = outlooks.get(known.name);
        if (!outlook) return [];
        const limit = outlook.bandwidthBytesPerSecond;
        const { name, bytesPerSecond, takesVms } = known;
        const sendBytesPerSecond = limit > 0 ? Math.min(limit, bytesPerSecond) : bytesPerSecond;
        return [
          {
            name,
            memoryBytes: outlook.memoryBytes,
            sendBytesPerSecond,
            receiveBytesPerSecond: bytesPerSecond,
            takesVms: takesVms && !silent.has(name),
          },
        ];
      }),
      links: file.links,
      reservations: [],
      vms: vms.map(({ fleetVm }) => fleetVm),
      policy: file.policy,
      expect: (vm, to) => {
        const { ways = {}, bandwidthBytesPerSecond: limit = 0 } = outlooks.get(vm.host) ?? {};
        const visits = ways[addresses.get(to) ?? ''] ?? [];
        return expectOf(visits, { vm: uuids.get(vm.name) ?? '', isPacked: true, limit });
      },
    },
    contents: joinContents(vms.map(contentsOf)),
    addresses,
    vms,
    failures,
  };
}

function addressOf({ hosts }: FleetFile, name: string, outlook: OutlookView): string {
  return hosts.find((host) => host.name === name)?.migration ?? outlook.migration;
}

/**
 * What VMs may be sent to must be reached by others at the address that it tells.
 *
 * @param to - null: to any that takes VMs
 * @throws GW_INPUT_INVALID
 */
export function refuseOwnAddresses(
  { hosts }: FleetFile,
  { addresses }: FleetPicture,
  from: string,
  to: string | null,
): void {
  // Daemons of one machine, as in a trial, reach each other so.
  const machines = new Set(hosts.map(({ api }) => (api.startsWith('unix:') ? 'localhost' : new URL(api).hostname)));
  if (machines.size < 2) return;
  for (const { name, takesVms } of hosts) {
    const value = addresses.get(name);
    const isDestination = to === null ? takesVms && name !== from : name === to;
    if (value === undefined || !isDestination || !OWN_ADDRESS.test(value)) continue;
    const fix = `other hosts do not reach ${name} there: give \`migration: HOST:PORT\` with an address of its own`;
    throw new GodwitError('GW_INPUT_INVALID', { field: `hosts.${name}.migration`, value, fix });
  }
}

function pictureVm(vm: OutlookVm, host: string, names: readonly string[], file: FleetFile): PicturedVm {
  const labels = labelsOf(vm.name, file.vms);
  const policy = policyOf(file.policies, labels, file.hosts.find(({ name }) => name === host)?.labels ?? {});
  const options = optionsOf(policy);
  const dataPages = Math.max(1, vm.dataPages);
  const fleetVm: FleetVm = {
    name: vm.name,
    host,
    ramBytes: vm.ramBytes,
    dataPages,
    curve: fitDirtyCurve(samplesOf(vm, dataPages), dataPages),
    period: findPeriod({ samples: vm.samples.map(({ atMs, pagesPerSecond }) => ({ atMs, pagesPerSecond })) }),
    options,
    canThrottle: options.throttle.enabled,
    canPostCopy: options.mode !== 'pre-copy',
  };
  return { fleetVm, outlook: vm, labels, policy, obstacle: obstacleOf(vm, names) };
}

function obstacleOf(vm: OutlookVm, names: readonly string[]): string | null {
  if (names.filter((name) => name === vm.name).length > 1)
    return 'two hosts have a VM of this name: rename one of them';
  if (vm.sharedMemory.length > 0) {
    const [region] = vm.sharedMemory;
    return `it shares the memory ${region!.name} with others: move them together by \`godwit group migrate ${region!.name}\``;
  }
  return null;
}

function samplesOf({ samples }: OutlookVm, dataPages: number): DirtySample[] {
  const looks = samples.slice(-CURVE_SAMPLES);
  if (looks.length === 0) return [{ seconds: 1, pages: dataPages * USUAL_WORKING_PART, weight: 1 }];
  return looks.flatMap(dirtySamplesOf);
}

function contentsOf({ outlook }: PicturedVm): VmContents {
  const sample = outlook.contents === null ? undefined : decodePageSample(outlook.contents);
  const regions = outlook.sharedMemory.map(({ name, bytes }) => ({ name, pages: bytes / PAGE_SIZE }));
  return { vm: outlook.name, sample: sample ?? createPageSample([]), regions };
}

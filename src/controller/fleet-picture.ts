/**
 * What the planner is told, put together from what each host tells of itself.
 *
 * Owns: the translation. Pure. Must hold: a host that does not answer is none that VMs are sent to, but what it told last still
 * counts, since VMs may be on their way there; a VM that something speaks against is told of with the reason, and not left out.
 */
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { FleetContents } from '../fleet/fleet-contents.ts';
import type { FleetHost, FleetState, FleetVm } from '../fleet/fleet-state.ts';
import { findPeriod } from '../fleet/period.ts';
import { type DirtySample, fitDirtyCurve } from '../migration/dirty-curve.ts';
import { dirtySamplesOf } from '../migration/history.ts';
import { expectOf } from '../migration/known-links.ts';
import { type Bundle, findBundles } from './bundles.ts';
import type { FleetFile } from './fleet-file.ts';
import { type Labels, labelsOf, type MigrationPolicy, optionsOf, policyOf } from './fleet-labels.ts';
import { JoinedContents, type ToldContents } from './joined-contents.ts';
import { wordsOfOwn } from './own-addresses.ts';
import { portRates } from './port-rates.ts';
import { type UnderwayMove, underwayOf } from './underway.ts';

/** What a host has told of itself. */
export interface Told {
  readonly outlook: OutlookView;
  /** Unix milliseconds: it is as it was then, or later. */
  readonly askedAtMs: number;
}

/** One host, asked just now. */
export type Answer =
  /** `isPartial`: of what is in its VMs some was not told in time, and the next looks will have it. */
  | (Told & { readonly name: string; readonly isPartial?: boolean })
  /** `last`: what it told before it fell silent. */
  | {
      readonly name: string;
      /** Why there is no outlook, and what to do about it. */
      readonly failure: string;
      readonly last?: Told;
      /** It answers, with that. */
      readonly isRefusal: boolean;
      /** Waiting does not help. */
      readonly isFinal: boolean;
    };

/** A host that does not tell. */
export interface Silence {
  readonly name: string;
  readonly failure: string;
  readonly isRefusal: boolean;
  readonly isFinal: boolean;
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
  /** By host that has ever answered, when it was asked for what is here (Unix milliseconds). */
  readonly askedAtMs: ReadonlyMap<string, number>;
  readonly vms: readonly PicturedVm[];
  readonly failures: readonly Silence[];
  /** Hosts that have not told yet what is in all of their VMs. */
  readonly partial: readonly string[];
  /** Hosts that get no VMs now, whoever sends them, with the reason. */
  readonly closed: ReadonlyMap<string, string>;
  /** Migrations that run, whoever has begun them. */
  readonly underway: readonly UnderwayMove[];
  /** VMs that are begun at one moment. */
  readonly bundles: readonly Bundle[];
  /** Hosts whose ports have a rate that somebody has set: no migration may take more. */
  readonly ratedHosts: ReadonlySet<string>;
}

/** Of a VM of which nothing is known: see predictor.ts. */
const USUAL_WORKING_PART = 0.05;
/** The newest looks at a VM say how it writes: an hour. */
const CURVE_SAMPLES = 60;

/**
 * @param barred - hosts that are to get no VMs, whoever sends them, with the reason
 * @param joined - what was joined for earlier pictures
 */
export function picture(
  file: FleetFile,
  answers: readonly Answer[],
  nowMs: number,
  barred: ReadonlyMap<string, string> = new Map(),
  joined: JoinedContents = new JoinedContents(),
): FleetPicture {
  const heard = answers.flatMap((answer) => {
    const told = 'outlook' in answer ? answer : answer.last;
    return told ? [{ name: answer.name, outlook: told.outlook, askedAtMs: told.askedAtMs }] : [];
  });
  const failures = answers.flatMap((answer): Silence[] => {
    if ('outlook' in answer) return [];
    const { name, failure, isRefusal, isFinal } = answer;
    const takesVms = file.hosts.some((host) => host.name === name && host.takesVms);
    return [{ name, failure, isRefusal, isFinal, takesVms }];
  });
  const silent = new Set(failures.map(({ name }) => name));
  // A host that died still names its VMs, of which somebody may have started one elsewhere.
  const named = heard
    .filter(({ name }) => !silent.has(name))
    .flatMap(({ outlook }) => outlook.vms.map((vm) => vm.name));
  const vms = heard.flatMap(({ name, outlook }) =>
    outlook.vms
      .filter((vm) => !silent.has(name) || !named.includes(vm.name))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((vm) => pictureVm(vm, outlook, { name, named, file, nowMs })),
  );
  const bundles = bundlesOf(vms, file);
  const addresses = new Map(heard.map(({ name, outlook }) => [name, addressOf(file, name, outlook)]));
  const outlooks = new Map(heard.map(({ name, outlook }) => [name, outlook]));
  const closed = new Map([...wordsOfOwn(file, addresses), ...barred]);
  const uuids = new Map(vms.map(({ fleetVm, outlook }) => [fleetVm.name, outlook.uuid]));
  return {
    base: {
      nowMs,
      hosts: file.hosts.flatMap((known): FleetHost[] => {
        const outlook = outlooks.get(known.name);
        if (!outlook) return [];
        const limit = outlook.bandwidthBytesPerSecond;
        const { name, takesVms } = known;
        const { sending, receiving } = portRates(known, outlooks, addresses);
        return [
          {
            name,
            memoryBytes: outlook.memoryBytes,
            sendBytesPerSecond: limit > 0 ? Math.min(limit, sending) : sending,
            receiveBytesPerSecond: receiving,
            takesVms: takesVms && !silent.has(name) && !closed.has(name),
          },
        ];
      }),
      links: file.links,
      reservations: file.reservations,
      vms: vms.map(({ fleetVm }) => fleetVm),
      policy: file.policy,
      expect: (vm, to) => {
        const { ways = {}, bandwidthBytesPerSecond: limit = 0 } = outlooks.get(vm.host) ?? {};
        const visits = ways[addresses.get(to) ?? ''] ?? [];
        return expectOf(visits, { vm: uuids.get(vm.name) ?? '', isPacked: true, limit });
      },
    },
    contents: joined.join(vms.map((vm) => contentsOf(vm, bundles))),
    addresses,
    askedAtMs: new Map(heard.map(({ name, askedAtMs }) => [name, askedAtMs])),
    vms,
    failures,
    partial: answers.flatMap((answer) => ('outlook' in answer && answer.isPartial === true ? [answer.name] : [])),
    closed,
    bundles,
    underway: underwayOf(
      heard.map(({ name, outlook }) => ({ outlook, isSilent: silent.has(name) })),
      addresses,
      nowMs,
    ),
    ratedHosts: new Set(
      file.hosts.flatMap(({ name, bytesPerSecond }) => {
        const limit = outlooks.get(name)?.bandwidthBytesPerSecond ?? 0;
        return bytesPerSecond !== null || limit > 0 ? [name] : [];
      }),
    ),
  };
}

function addressOf({ hosts }: FleetFile, name: string, outlook: OutlookView): string {
  return hosts.find((host) => host.name === name)?.migration ?? outlook.migration;
}

function bundlesOf(vms: readonly PicturedVm[], { together }: FleetFile): Bundle[] {
  const known = vms.map(({ fleetVm: { name, host }, outlook }) => {
    return { name, host, regions: outlook.sharedMemory.map((region) => region.name) };
  });
  return findBundles(known, together);
}

function pictureVm(
  vm: OutlookVm,
  outlook: OutlookView,
  known: { readonly name: string; readonly named: readonly string[]; readonly file: FleetFile; readonly nowMs: number },
): PicturedVm {
  const { name: host, named, file, nowMs } = known;
  const labels = labelsOf(vm.name, file.vms);
  const policy = policyOf(file.policies, labels, file.hosts.find(({ name }) => name === host)?.labels ?? {});
  const options = optionsOf(policy);
  const ownPages = Math.max(1, vm.dataPages);
  const sharedBytes = firstSharedBytes(vm, outlook);
  const dataPages = ownPages + sharedBytes / PAGE_SIZE;
  const fleetVm: FleetVm = {
    name: vm.name,
    host,
    ramBytes: vm.ramBytes + sharedBytes,
    dataPages,
    curve: fitDirtyCurve(samplesOf(vm, ownPages), dataPages),
    period: findPeriod({ samples: vm.samples.map(({ atMs, pagesPerSecond }) => ({ atMs, pagesPerSecond })) }, nowMs),
    options,
    canThrottle: options.throttle.enabled,
    canPostCopy: options.mode !== 'pre-copy',
  };
  const isDoubled = named.filter((name) => name === vm.name).length > 1;
  const obstacle = isDoubled ? 'two hosts have a VM of this name: rename one of them' : null;
  return { fleetVm, outlook: vm, labels, policy, obstacle };
}

/** Memory that VMs share moves once: it counts for the first of them. */
function firstSharedBytes({ name, sharedMemory }: OutlookVm, { vms }: OutlookView): number {
  return sharedMemory.reduce((sum, region) => {
    const sharers = vms.filter((vm) => vm.sharedMemory.some((each) => each.name === region.name));
    return sharers.every((vm) => name <= vm.name) ? sum + region.bytes : sum;
  }, 0);
}

function samplesOf({ samples }: OutlookVm, dataPages: number): DirtySample[] {
  const looks = samples.slice(-CURVE_SAMPLES);
  if (looks.length === 0) return [{ seconds: 1, pages: dataPages * USUAL_WORKING_PART, weight: 1 }];
  return looks.flatMap(dirtySamplesOf);
}

function contentsOf({ fleetVm: { name, host }, outlook }: PicturedVm, bundles: readonly Bundle[]): ToldContents {
  const regions = outlook.sharedMemory.map((region) => ({ name: region.name, pages: region.bytes / PAGE_SIZE }));
  const bundle = bundles.find((each) => each.region === null && each.host === host && each.vms.includes(name));
  // What is to stay together is planned as if it shared a page: one group, one host.
  if (bundle) regions.push({ name: `together ${bundle.vms.join(' ')}`, pages: 1 });
  return { vm: name, text: outlook.contents, regions };
}

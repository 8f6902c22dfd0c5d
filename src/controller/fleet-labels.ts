/**
 * Labels of VMs and hosts, and which policy a VM is migrated by.
 *
 * Owns: the rule. Pure. Must hold: a policy counts where all of its labels are there; of those the one with most labels wins,
 * of equal ones the first by name, so that the order in a file changes nothing.
 */
import type { MigrateBody } from '../api/migration-schema.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from '../migration/request.ts';

export type Labels = Readonly<Record<string, string>>;

/** Labels of all VMs whose name fits. */
export interface LabelledVms {
  /** A name, in which `*` stands for anything. */
  readonly pattern: string;
  readonly labels: Labels;
}

export type PolicySettings = Pick<
  MigrateBody,
  'mode' | 'bandwidthBytesPerSecond' | 'maxDowntimeMs' | 'timeoutMs' | 'onTimeout' | 'verify'
>;

export interface MigrationPolicy {
  readonly name: string;
  readonly vms: Labels;
  /** Of the host that it leaves. */
  readonly hosts: Labels;
  readonly settings: PolicySettings;
  /** It is not moved but by name. */
  readonly stays: boolean;
}

/** Of what fits, the later wins. */
export function labelsOf(vm: string, known: readonly LabelledVms[]): Labels {
  return Object.assign({}, ...known.filter(({ pattern }) => fits(vm, pattern)).map(({ labels }) => labels)) as Labels;
}

/** null: none counts. */
export function policyOf(policies: readonly MigrationPolicy[], vm: Labels, host: Labels): MigrationPolicy | null {
  const counting = policies.filter((policy) => contains(vm, policy.vms) && contains(host, policy.hosts));
  const size = (policy: MigrationPolicy): number => Object.keys(policy.vms).length + Object.keys(policy.hosts).length;
  const [best] = counting.sort((a, b) => size(b) - size(a) || (a.name < b.name ? -1 : 1));
  return best ?? null;
}

/** What a migration by it is asked to do. */
export function optionsOf(policy: MigrationPolicy | null): MigrationOptions {
  const given = Object.entries(policy?.settings ?? {}).filter(([, value]) => value !== undefined);
  return { ...DEFAULT_MIGRATION_OPTIONS, ...(Object.fromEntries(given) as Partial<MigrationOptions>) };
}

function fits(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

function contains(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

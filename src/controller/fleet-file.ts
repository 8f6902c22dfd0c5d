/**
 * The fleet as its owner writes it down: hosts, what is between them, how evacuations are planned.
 *
 * Owns: names, defaults and limits of every setting (docs/fleet.md). Must hold: a wrong value is refused with field, value and fix.
 */
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { choice, flag, integer, list, meaning, number, strictObject, text } from '../api/field.ts';
import { parseInput } from '../api/input-error.ts';
import { isApiAddress, parseHostPort } from '../api/listen.ts';
import { readTextFile } from '../api/text-file.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { parseYaml } from '../api/yaml-file.ts';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs } from '../base/units.ts';
import { type BalancePolicy, DEFAULT_BALANCE } from '../fleet/balance.ts';
import { DEFAULT_POLICY, type FleetLink, type FleetPolicy, type Reservation } from '../fleet/fleet-state.ts';
import { MIGRATION_MODES, TIMEOUT_ACTIONS } from '../migration/request.ts';
import { labels, limit, rate, tokenFrom } from './fleet-fields.ts';
import type { LabelledVms, Labels, MigrationPolicy } from './fleet-labels.ts';
import { type HostRegistration, RegisterSchema, type RegisterSettings, registerFrom } from './fleet-register.ts';
import { checkReservations } from './fleet-reservations.ts';

const API_FIX = 'give http://HOST:PORT, https://HOST:PORT or unix:/path';
const TIME_FIX = 'give a time such as 50ms or 10m';
const VMS_FIX = 'give VMs by name, such as {db1: {labels: {tier: db}}, "web*": {labels: {tier: web}}}';
const PART_FIX = 'give a part from 0.05 to 1';
const MIGRATION_FIX = 'give HOST:PORT such as 10.0.0.2:7710';

/** Of what is reserved. */
const end = () => NameSchema.nullable().optional();

const time = () => meaning(text(TIME_FIX), TIME_FIX, (given) => parseDurationMs(given, 'time'));
const part = () => number(0.05, 1, PART_FIX);

const FleetHostSchema = strictObject({
  api: text(API_FIX).refine(isApiAddress, { error: API_FIX }).describe('Where the API of its daemon is.'),
  tokenFile: text('give the path of a file').optional().describe('File with the bearer token of that API.'),
  migration: meaning(text(MIGRATION_FIX), MIGRATION_FIX, (given) => parseHostPort(given, 'migration') && given)
    .optional()
    .describe('Where the other hosts reach its migration port. Default: what its daemon listens on.'),
  rate: limit()
    .optional()
    .describe(
      'Of its network port, each way: more is never used. Default: what migrations have reached, at least 1Gbit/s.',
    ),
  takesVms: flag().optional().describe('VMs may be sent there. Default: true.'),
  labels: labels().optional().describe('For `policies`.'),
});

const PolicySchema = strictObject({
  vms: labels().optional().describe('That a VM must have. Default: none.'),
  hosts: labels().optional().describe('That the host which it leaves must have. Default: none.'),
  mode: choice([...MIGRATION_MODES] as ['auto', 'pre-copy', 'post-copy', 'hybrid']).optional(),
  bandwidth: rate().optional(),
  maxDowntime: time().optional(),
  timeout: time().optional(),
  onTimeout: choice([...TIMEOUT_ACTIONS] as ['post-copy', 'cancel', 'pause']).optional(),
  verify: flag().optional(),
  stays: flag().optional().describe('It is moved only where it is named (`--vm`). Default: false.'),
});

const BalanceSchema = strictObject({
  automatic: flag().optional().describe('The controller balances by itself. Default: false.'),
  newHosts: flag().optional().describe('VMs move to a host that is new to the controller. Default: as `automatic`.'),
  cpu: part()
    .optional()
    .describe(`Part of its CPUs’ time from which on a host is busy. Default: ${DEFAULT_BALANCE.cpuPart}.`),
  memory: part().optional().describe(`The same of its memory. Default: ${DEFAULT_BALANCE.memoryPart}.`),
  calm: part()
    .optional()
    .describe(`Part of these thresholds below which it is calm again. Default: ${DEFAULT_BALANCE.calmLoad}.`),
  leastGain: part()
    .optional()
    .describe(`By so much, in thresholds, a move must help. Default: ${DEFAULT_BALANCE.leastGain}.`),
  coolDown: time().optional().describe('A host that gave or got a VM is left alone for so long. Default: 10m.'),
  maxMoves: integer(1, 100, 'give a whole number from 1 to 100')
    .optional()
    .describe(`Of one look. Default: ${DEFAULT_BALANCE.maxMoves}.`),
});

export const FleetFileSchema = strictObject({
  hosts: z.record(NameSchema, FleetHostSchema).describe('By name, which each daemon has as its `name`.'),
  register: RegisterSchema.optional().describe(
    'Takes hosts that register by NATS (`--fleet-nats`) as well; needs a controller with `--nats`. Default: none does.',
  ),
  links: list(
    strictObject({
      name: NameSchema.describe('For what people are told.'),
      rate: limit(),
      between: z.tuple([list(NameSchema, 'give names of hosts'), list(NameSchema, 'give names of hosts')]),
    }),
    'give a list of {name, rate, between: [[a, b], [c]]}',
  )
    .optional()
    .describe('Bottlenecks between two sets of hosts, both directions together.'),
  reservations: list(
    strictObject({ from: end(), to: end(), rate: limit() }),
    'give a list of {from: a, to: b, rate}; null for an end that nothing is reserved of',
  )
    .optional()
    .describe(
      'Kept free for others than migrations, of what `from` sends, of what `to` receives, and of links between both.',
    ),
  together: list(list(NameSchema, 'give names of VMs'), 'give a list of lists of VMs, such as [[web1, db1]]')
    .optional()
    .describe(
      'VMs that talk to each other: those of a list go to one host and switch over at about the same moment, all or none.',
    ),
  vms: z
    .record(text(VMS_FIX), strictObject({ labels: labels() }), { error: VMS_FIX })
    .optional()
    .describe('By name, in which `*` stands for anything.'),
  policies: z
    .record(NameSchema, PolicySchema)
    .optional()
    .describe('How VMs are migrated that have these labels; of several that count the one with most labels.'),
  balance: BalanceSchema.optional(),
  grouping: choice(['none', 'pairs', 'representatives'])
    .optional()
    .describe(`How VMs with common contents are brought together. Default: ${DEFAULT_POLICY.grouping}.`),
  objective: choice(['shortest', 'makespan', 'deadline'])
    .optional()
    .describe(
      `Whose end counts: of the mean VM, of the last, each its deadline. Default: ${DEFAULT_POLICY.objective}.`,
    ),
  maxQuietWait: integer(0, 86_400, 'give a whole number of seconds from 0 to 86400')
    .optional()
    .describe('For how many seconds a VM with a rhythm is kept waiting for its quiet phase. Default: 1200.'),
}).meta({ id: 'FleetFile', description: 'A fleet, for `godwit fleet`.' });

export interface KnownHost {
  readonly name: string;
  readonly api: string;
  readonly token: string | null;
  readonly migration: string | null;
  /** null: it is not said. */
  readonly bytesPerSecond: number | null;
  readonly takesVms: boolean;
  readonly labels: Labels;
  /** null: it is one of the file. */
  readonly registration: HostRegistration | null;
}

export interface FleetFile {
  readonly hosts: readonly KnownHost[];
  /** null: none does. */
  readonly register: RegisterSettings | null;
  readonly links: readonly FleetLink[];
  readonly reservations: readonly Reservation[];
  readonly together: readonly (readonly string[])[];
  readonly policy: FleetPolicy;
  readonly vms: readonly LabelledVms[];
  readonly policies: readonly MigrationPolicy[];
  readonly balance: BalancePolicy & { readonly isAutomatic: boolean; readonly fillsNewHosts: boolean };
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readFleetFile(path: string): FleetFile {
  return parseFleet(parseYaml(readTextFile(path), path), dirname(resolve(path)));
}

/** @param base - relative paths count from there */
export function parseFleet(value: unknown, base: string): FleetFile {
  const given = parseInput(FleetFileSchema, value ?? {});
  const { hosts, links = [], together = [], grouping, objective, maxQuietWait, vms, policies, balance } = given;
  const names = new Set(Object.keys(hosts));
  for (const [index, { between }] of links.entries()) {
    const stranger = between.flat().find((name) => !names.has(name));
    if (stranger !== undefined) throw invalid(`links[${index}].between`, stranger, 'give a host of `hosts`');
  }
  const all = Object.entries(hosts);
  for (const [index, [name, { migration }]] of all.entries()) {
    const twin = all.slice(0, index).find(([, host]) => migration !== undefined && host.migration === migration);
    if (twin) throw invalid(`hosts.${name}.migration`, migration!, `give another one: it is that of ${twin[0]}`);
  }
  const file = {
    hosts: all.map(([name, host]) => ({
      name,
      api: host.api,
      token: host.tokenFile === undefined ? null : tokenFrom(`hosts.${name}.tokenFile`, resolve(base, host.tokenFile)),
      migration: host.migration ?? null,
      bytesPerSecond: host.rate ?? null,
      takesVms: host.takesVms ?? true,
      labels: host.labels ?? {},
      registration: null,
    })),
    register: given.register === undefined ? null : registerFrom(given.register, base),
    links: links.map((link) => ({ name: link.name, bytesPerSecond: link.rate, between: link.between })),
    reservations: (given.reservations ?? []).map(({ from = null, to = null, rate: bytesPerSecond }) => {
      return { from, to, bytesPerSecond };
    }),
    together,
    vms: Object.entries(vms ?? {}).map(([pattern, { labels: given }]) => ({ pattern, labels: given })),
    policies: Object.entries(policies ?? {}).map(([name, policy]) => policyFrom(name, policy)),
    balance: balanceFrom(balance ?? {}),
    policy: {
      grouping: grouping ?? DEFAULT_POLICY.grouping,
      objective: objective ?? DEFAULT_POLICY.objective,
      maxQuietWaitMs: maxQuietWait === undefined ? DEFAULT_POLICY.maxQuietWaitMs : maxQuietWait * 1000,
    },
  } satisfies FleetFile;
  checkReservations(file.reservations, file.hosts, file.links);
  return file;
}

function policyFrom(name: string, given: z.output<typeof PolicySchema>): MigrationPolicy {
  const { vms = {}, hosts = {}, stays = false, mode, bandwidth, maxDowntime, timeout, onTimeout, verify } = given;
  const settings = {
    ...{ mode, onTimeout, verify },
    ...{ bandwidthBytesPerSecond: bandwidth, maxDowntimeMs: maxDowntime, timeoutMs: timeout },
  };
  const isGiven = ([, value]: [string, unknown]): boolean => value !== undefined;
  return { name, vms, hosts, stays, settings: Object.fromEntries(Object.entries(settings).filter(isGiven)) };
}

function balanceFrom(given: z.output<typeof BalanceSchema>): FleetFile['balance'] {
  return {
    isAutomatic: given.automatic ?? false,
    fillsNewHosts: given.newHosts ?? given.automatic ?? false,
    cpuPart: given.cpu ?? DEFAULT_BALANCE.cpuPart,
    memoryPart: given.memory ?? DEFAULT_BALANCE.memoryPart,
    calmLoad: given.calm ?? DEFAULT_BALANCE.calmLoad,
    leastGain: given.leastGain ?? DEFAULT_BALANCE.leastGain,
    coolDownMs: given.coolDown ?? DEFAULT_BALANCE.coolDownMs,
    maxMoves: given.maxMoves ?? DEFAULT_BALANCE.maxMoves,
  };
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

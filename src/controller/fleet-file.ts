/**
 * The fleet as its owner writes it down: hosts, what is between them, how evacuations are planned.
 *
 * Owns: names, defaults and limits of every setting (docs/fleet.md). Must hold: a wrong value is refused with field, value and fix.
 */
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { choice, flag, integer, list, meaning, strictObject, text } from '../api/field.ts';
import { parseInput } from '../api/input-error.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { parseYaml, readTextFile } from '../api/yaml-file.ts';
import { GodwitError } from '../base/errors.ts';
import { parseRate } from '../base/units.ts';
import { DEFAULT_POLICY, type FleetLink, type FleetPolicy } from '../fleet/fleet-state.ts';

const API_FIX = 'give http://HOST:PORT, https://HOST:PORT or unix:/path';
const RATE_FIX = 'give a rate such as 10Gbit/s';
const MIGRATION_FIX = 'give HOST:PORT such as 10.0.0.2:7710';

const rate = () => meaning(text(RATE_FIX), RATE_FIX, (given) => parseRate(given, 'rate'));

const FleetHostSchema = strictObject({
  api: text(API_FIX)
    .regex(/^(https?:\/\/|unix:)/, { error: API_FIX })
    .describe('Where the API of its daemon is.'),
  tokenFile: text('give the path of a file').optional().describe('File with the bearer token of that API.'),
  migration: text(MIGRATION_FIX)
    .optional()
    .describe('Where the other hosts reach its migration port. Default: what its daemon listens on.'),
  rate: rate()
    .optional()
    .describe(
      'Of its network port, each way: more is never used. Default: what migrations have reached, at least 1Gbit/s.',
    ),
  takesVms: flag().optional().describe('VMs may be sent there. Default: true.'),
});

export const FleetFileSchema = strictObject({
  hosts: z.record(NameSchema, FleetHostSchema).describe('By name, which each daemon has as its `name`.'),
  links: list(
    strictObject({
      name: NameSchema.describe('For what people are told.'),
      rate: rate(),
      between: z.tuple([list(NameSchema, 'give names of hosts'), list(NameSchema, 'give names of hosts')]),
    }),
    'give a list of {name, rate, between: [[a, b], [c]]}',
  )
    .optional()
    .describe('Bottlenecks between two sets of hosts, both directions together.'),
  together: list(list(NameSchema, 'give names of VMs'), 'give a list of lists of VMs, such as [[web1, db1]]')
    .optional()
    .describe(
      'VMs that talk to each other: those of a list go to one host, and are to switch over at about the same moment.',
    ),
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
}

export interface FleetFile {
  readonly hosts: readonly KnownHost[];
  readonly links: readonly FleetLink[];
  readonly together: readonly (readonly string[])[];
  readonly policy: FleetPolicy;
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readFleetFile(path: string): FleetFile {
  return parseFleet(parseYaml(readTextFile(path), path), dirname(resolve(path)));
}

/** @param base - relative paths count from there */
export function parseFleet(value: unknown, base: string): FleetFile {
  const {
    hosts,
    links = [],
    together = [],
    grouping,
    objective,
    maxQuietWait,
  } = parseInput(FleetFileSchema, value ?? {});
  const names = new Set(Object.keys(hosts));
  for (const [index, { between }] of links.entries()) {
    const stranger = between.flat().find((name) => !names.has(name));
    if (stranger !== undefined) throw invalid(`links[${index}].between`, stranger, 'give a host of `hosts`');
  }
  return {
    hosts: Object.entries(hosts).map(([name, host]) => ({
      name,
      api: host.api,
      token: host.tokenFile === undefined ? null : readTextFile(resolve(base, host.tokenFile)).trim(),
      migration: host.migration ?? null,
      bytesPerSecond: host.rate ?? null,
      takesVms: host.takesVms ?? true,
    })),
    links: links.map((link) => ({ name: link.name, bytesPerSecond: link.rate, between: link.between })),
    together,
    policy: {
      grouping: grouping ?? DEFAULT_POLICY.grouping,
      objective: objective ?? DEFAULT_POLICY.objective,
      maxQuietWaitMs: maxQuietWait === undefined ? DEFAULT_POLICY.maxQuietWaitMs : maxQuietWait * 1000,
    },
  };
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

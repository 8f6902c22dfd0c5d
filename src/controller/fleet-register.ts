/**
 * What the fleet file says of hosts that register by themselves.
 *
 * Must hold: the token of their APIs goes to hosts only that have the fleet's key (registered-hosts.ts).
 */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { strictObject, text } from '../api/field.ts';
import { readFleetKey } from '../api/fleet-key.ts';
import { labels, limit, tokenFrom } from './fleet-fields.ts';
import type { Labels } from './fleet-labels.ts';

export const RegisterSchema = strictObject({
  fleetKeyFile: text('give the path of the file that the hosts have as fleetKeyFile').describe(
    'Secret of the fleet: hosts that do not have it are not believed.',
  ),
  tokenFile: text('give the path of a file')
    .optional()
    .describe('File with the bearer token of the APIs of all hosts that register.'),
  rate: limit().optional().describe('Of the network port of each, as `rate` of a host.'),
  labels: labels().optional().describe('Of each.'),
});

export interface RegisterSettings {
  /** Hexadecimal. */
  readonly fleetKey: string;
  readonly token: string | null;
  /** null: it is not said. */
  readonly bytesPerSecond: number | null;
  readonly labels: Labels;
}

/** Of a host that has registered. */
export interface HostRegistration {
  /** When its daemon began, Unix milliseconds. */
  readonly sinceMs: number;
  /** null: it is not known yet. */
  readonly beats: boolean | null;
  /** Why it is not asked yet; null: it is. */
  readonly unproven: string | null;
}

/** @param base - relative paths count from there @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function registerFrom(given: z.output<typeof RegisterSchema>, base: string): RegisterSettings {
  const { fleetKeyFile, tokenFile, rate: bytesPerSecond = null, labels: ofEach = {} } = given;
  return {
    fleetKey: readFleetKey('register.fleetKeyFile', resolve(base, fleetKeyFile)),
    token: tokenFile === undefined ? null : tokenFrom('register.tokenFile', resolve(base, tokenFile)),
    bytesPerSecond,
    labels: ofEach,
  };
}

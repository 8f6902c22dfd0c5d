/**
 * The settings of the host daemon, as its YAML file and its command line give them.
 *
 * Owns: names, limits and meanings of every setting (docs/spec.md). Must hold: a wrong value is refused with field, value and
 * fix; what settings mean together is config.ts's.
 */
import { z } from 'zod';
import { choice, flag, integer, list, meaning, size, strictObject, text } from '../api/field.ts';
import { isApiAddress } from '../api/listen.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { DSCP_FIX, parseDscp } from '../base/dscp.ts';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs, parseRate } from '../base/units.ts';
import { LONGEST_HISTORY_MS } from '../migration/history.ts';

const ADDRESS_FIX = 'give HOST:PORT such as 127.0.0.1:7700, or unix:/path';
const MODE_FIX = 'give a mode in quotes, such as "0600" or "0660"';
const SCRIPT_FIX = 'give the absolute path of a program on this host';
const BANDWIDTH_FIX = 'give a rate such as 5Gbit/s, 200MiB/s or unlimited';
const SAMPLE_FIX = 'give a time from 1s to 1h such as 60s, or off';
const HOOK_TIME_FIX = 'give a time from 1s to 10m such as 30s';
const KEEP_FIX = 'give a time from 1m to 24h such as 60m';
const NATS_FIX = 'give a list of servers such as [nats://10.0.0.9:4222]';
const FLEET_API_FIX = 'give http://HOST:PORT, https://HOST:PORT or unix:/path';
const PEERS_FIX = 'give names with HOST:PORT, such as {b: 10.0.0.2:7710}';

const HookPath = text(SCRIPT_FIX)
  .regex(/^\/[^\0]*$/, { error: SCRIPT_FIX })
  .optional();

export const HostConfigSchema = strictObject({
  name: NameSchema.optional().describe(
    'Name of this host, as other hosts and reports show it. Default: the host name.',
  ),
  listen: z
    .union([text(ADDRESS_FIX), z.array(text(ADDRESS_FIX), { error: ADDRESS_FIX }).min(1, { error: ADDRESS_FIX })], {
      error: ADDRESS_FIX,
    })
    .optional()
    .describe('Where the API listens: one address or a list. Default: 127.0.0.1:7700.'),
  migrationListen: text('give HOST:PORT such as 127.0.0.1:7710')
    .optional()
    .describe('Where other hosts reach this one. Default: 127.0.0.1:7710.'),
  insecureMigration: flag()
    .optional()
    .describe('Allows a migration port that other machines can reach, without `tls`.'),
  tls: text('give a directory with ca.crt, tls.crt and tls.key')
    .optional()
    .describe(
      'Directory with `ca.crt`, `tls.crt` and `tls.key` (`godwit tls init` makes them): the migration port speaks TLS 1.3 only, and both ' +
        'hosts have to show a certificate of that CA. Default: none; what migrates can be read on the way.',
    ),
  tlsAllow: list(NameSchema, 'give a list of names of hosts')
    .optional()
    .describe(
      'Hosts that may send VMs here, by the exact names in their certificates. Default: every one with a certificate of the CA.',
    ),
  state: text('give a directory').optional().describe('State directory. Default: /var/lib/godwit.'),
  tokenFile: text('give the path of a file that holds the token')
    .optional()
    .describe(
      'File with a bearer token of the API that may do everything. An API address that other machines can reach needs it, or `tokensFile`.',
    ),
  tokensFile: text('give the path of a file that lists tokens')
    .optional()
    .describe(
      'File of further tokens, each with a name and rights (below); mode 0600. A change counts at once, without a restart.',
    ),
  auditLog: text('give the path of a file')
    .optional()
    .describe(
      'File to which a line is added for each request that may change something or is refused (docs/operations.md). Default: the log of the daemon.',
    ),
  listenMode: text(MODE_FIX)
    .regex(/^0?[0-7]{3}$/, { error: MODE_FIX })
    .optional()
    .describe(
      'Mode of unix sockets of the API, such as `"0660"`: who may write one may do everything. Default: `"0600"`.',
    ),
  peers: z
    .record(NameSchema, text(PEERS_FIX), { error: PEERS_FIX })
    .optional()
    .describe('Other hosts by name: migration addresses HOST:PORT for `godwit migrate --to NAME`.'),
  bandwidth: meaning(text(BANDWIDTH_FIX), BANDWIDTH_FIX, (given) => parseRate(given, 'bandwidth'))
    .optional()
    .describe('What all migrations away from here may send together, such as `5Gbit/s`. Default: unlimited.'),
  dscp: meaning(z.union([z.number(), z.string()], { error: DSCP_FIX }), DSCP_FIX, (given) => parseDscp(given, 'dscp'))
    .optional()
    .describe(
      'Mark of all packets of migrations (DSCP): 0 to 63, or a name such as `le`, `cs1` or `af11`. Default: none is set.',
    ),
  maxIncomingMigrations: integer(1, 1000, 'give a whole number from 1 to 1000')
    .optional()
    .describe('How many VMs may be on their way here at once; further ones wait at their hosts. Default: 8.'),
  allowedNetworkScripts: list(
    text(SCRIPT_FIX).regex(/^\/[^\0]*$/, { error: SCRIPT_FIX }),
    'give a list of absolute paths of programs on this host',
  )
    .optional()
    .describe(
      'Absolute paths of the programs that VMs from other hosts may name as `script` and `downscript` of a network ' +
        'interface; they are run as root. Default: none.',
    ),
  images: text('give a directory')
    .regex(/^\/[^\0]*$/, { error: 'give an absolute path of a directory' })
    .optional()
    .describe(
      'Where images of disks are made that come with VMs from other hosts, and nowhere else. Default: at the path that they have there.',
    ),
  keepReports: integer(1, 100_000, 'give a whole number from 1 to 100000')
    .optional()
    .describe('How many migration reports are kept. Default: 500.'),
  keepVisits: size(0, 2 ** 50, 1, 'give a size from 0 (none) to 1PiB, such as 2GiB')
    .optional()
    .describe(
      'How much of the memory of VMs that have left is kept on disk, so that they come back in fewer bytes. Default: 0, none.',
    ),
  sampleEvery: meaning(text(SAMPLE_FIX), SAMPLE_FIX, (given) => (given === 'off' ? 0 : between(given, 1000, 3_600_000)))
    .optional()
    .describe('How often it is looked how a VM writes to its memory, such as `30s`, or `off`. Default: 60s.'),
  keepHistory: meaning(text(KEEP_FIX), KEEP_FIX, (given) => between(given, 60_000, LONGEST_HISTORY_MS))
    .optional()
    .describe('For how long that is remembered, such as `4h`. Default: 60m.'),
  spareThreads: choice(['on', 'off'])
    .optional()
    .describe(
      'Whether threads for the next migration are kept ready: it begins some tenths of a second earlier, and the daemon holds some 80 MB more. Default: on.',
    ),
  hooks: strictObject({
    preMigrate: HookPath.describe('Before a migration from here begins; where it fails the VM stays.'),
    postResume: HookPath.describe('When a VM has come and runs here.'),
    postRelease: HookPath.describe('When a VM has left and its QEMU here has ended.'),
    postRollback: HookPath.describe('When a VM that was to leave has stayed.'),
  })
    .optional()
    .describe('Programs that are run when a VM moves, each by its absolute path (docs/network.md). Default: none.'),
  hookTimeout: meaning(text(HOOK_TIME_FIX), HOOK_TIME_FIX, (given) => between(given, 1000, 600_000))
    .optional()
    .describe('How long a hook may take before it is ended, such as `2m`. Default: 30s.'),
  fleetKeyFile: text('give the path of a file that holds a key')
    .optional()
    .describe(
      'File with a secret that the hosts of one fleet have in common; with it, contents of one VM spare another ' +
        'one being sent. Default: none.',
    ),
  fleetNats: list(text(NATS_FIX), NATS_FIX)
    .min(1, { error: NATS_FIX })
    .optional()
    .describe(
      'Servers of NATS, where this host registers with the controllers of its fleet (docs/fleet.md); needs `fleetKeyFile`. Default: none.',
    ),
  fleetPrefix: text('give the --nats-prefix of the controllers')
    .optional()
    .describe('What the controllers have as `--nats-prefix`. Default: godwit.'),
  fleetNatsCredentials: text('give the path of a credentials file')
    .optional()
    .describe('Credentials file of NATS (.creds). Default: none.'),
  fleetNatsTokenFile: text('give the path of a file that holds the token of NATS')
    .optional()
    .describe('File with the token of NATS. Default: none.'),
  fleetApi: text(FLEET_API_FIX)
    .refine(isApiAddress, { error: FLEET_API_FIX })
    .optional()
    .describe('Where controllers reach the API of this host. Default: the first of `listen` that is no unix socket.'),
  fleetMigration: text('give HOST:PORT such as 10.0.0.2:7710')
    .optional()
    .describe('Where the other hosts of the fleet reach its migration port. Default: `migrationListen`.'),
  logLevel: choice(['trace', 'debug', 'info', 'warn', 'error', 'silent']).optional().describe('Default: info.'),
  logFormat: choice(['pretty', 'json']).optional().describe('Default: pretty in a terminal, else json.'),
}).meta({ id: 'HostConfig', description: 'Configuration of `godwit host`.' });

export type HostSettings = z.output<typeof HostConfigSchema>;

/** @throws GW_INPUT_INVALID; `meaning` says where and what to give instead */
function between(given: string, leastMs: number, mostMs: number): number {
  const ms = parseDurationMs(given, 'time');
  if (ms < leastMs || ms > mostMs)
    throw new GodwitError('GW_INPUT_INVALID', { field: 'time', value: given, fix: 'give a longer or shorter time' });
  return ms;
}

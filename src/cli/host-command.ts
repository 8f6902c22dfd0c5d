/** `godwit host`: runs the host daemon in the foreground. */
import type { Command } from 'commander';
import { collectFlag } from './collect-flag.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';
import { VERSION } from './version.ts';

interface HostFlags {
  readonly name?: string;
  readonly listen?: string[];
  readonly migrationListen?: string;
  readonly tls?: string;
  readonly insecureMigration?: boolean;
  readonly state?: string;
  readonly config?: string;
  readonly tokenFile?: string;
  readonly tokensFile?: string;
  readonly auditLog?: string;
  readonly peer?: string[];
  readonly keepVisits?: string;
  readonly sampleEvery?: string;
  readonly keepHistory?: string;
  readonly spareThreads?: string;
  readonly fleetKeyFile?: string;
  readonly fleetNats?: string[];
  readonly fleetPrefix?: string;
  readonly fleetNatsCredentials?: string;
  readonly fleetNatsTokenFile?: string;
  readonly fleetApi?: string;
  readonly fleetMigration?: string;
  readonly bandwidth?: string;
  readonly dscp?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
}

export function addHostCommand(program: Command, context: CommandContext): void {
  program
    .command('host')
    .description('run the host daemon in the foreground; SIGTERM ends it and leaves the VMs running')
    .option('--name <name>', "this host's name (default: the machine's)")
    .option(
      '--listen <address>',
      'API address HOST:PORT or unix:/path; may be given again (default: 127.0.0.1:7700)',
      collectFlag,
    )
    .option('--migration-listen <address>', 'migration port HOST:PORT (default: 127.0.0.1:7710)')
    .option(
      '--tls <dir>',
      'speak TLS at the migration port, with ca.crt, tls.crt and tls.key of this directory (godwit tls)',
    )
    .option('--insecure-migration', 'allow a migration port that other machines can reach, unencrypted')
    .option('--state <dir>', 'state directory (default: /var/lib/godwit)')
    .option('--config <file>', 'YAML config file (docs/spec.md); options here win over it')
    .option(
      '--tokens-file <file>',
      'file of further tokens, each with rights of its own (godwit token; docs/operations.md)',
    )
    .option(
      '--audit-log <file>',
      'file of one line a request that may change something or is refused (default: the log)',
    )
    .option('--peer <name=address>', 'another host by name; may be given again', collectFlag)
    .option('--keep-visits <size>', 'keep so much of the memory of VMs that have left, for when they come back')
    .option('--sample-every <time>', 'how often it is looked how a VM writes, or off (default: 60s)')
    .option('--keep-history <time>', 'for how long that is remembered (default: 60m)')
    .option('--spare-threads <on|off>', 'keep threads for the next migration ready (default: on)')
    .option('--fleet-key-file <file>', "secret of this host's fleet: contents of one VM spare another being sent")
    .option('--fleet-nats <url>', 'register with the controllers of this NATS; may be given again', collectFlag)
    .option('--fleet-prefix <name>', 'what they have as --nats-prefix (default: godwit)')
    .option('--fleet-nats-credentials <file>', 'credentials file of NATS (.creds)')
    .option('--fleet-nats-token-file <file>', 'file with the token of NATS')
    .option('--fleet-api <url>', "where controllers reach this host's API (default: --listen)")
    .option('--fleet-migration <address>', 'where other hosts reach its migration port (default: --migration-listen)')
    .option('--bandwidth <rate>', 'what all migrations may send together, such as 5Gbit/s (default: unlimited)')
    .option('--dscp <mark>', 'mark the packets of migrations: 0 to 63, or a name such as le, cs1 or af11')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent')
    .option('--log-format <format>', 'pretty or json (default: pretty in a terminal)')
    .addHelpText(
      'after',
      '\nPort 0 lets the system choose; the ready line (with --log-format json one of the log), or with --json one JSON document, says which.',
    )
    .action(async (_flags: HostFlags, command: Command) => {
      const flags = context.options<HostFlags>(command);
      // Loaded here only: no other command needs the kernel and QEMU parts.
      const { runHost } = await import('../host/run-host.ts');
      const token = context.io.environment['GODWIT_TOKEN'];
      // Nothing that the daemon starts, a VM's QEMU above all, has it in its environment.
      delete process.env['GODWIT_TOKEN'];
      const left = await runHost({
        flags: settingsOfFlags(flags),
        ...(flags.config === undefined ? {} : { configPath: flags.config }),
        token,
        terminal: context.io.errIsTerminal,
        version: VERSION,
        ready: (facts, logFormat) => {
          const line = `godwit host ${facts.name} ready: API ${facts.api}, migration ${facts.migration}\n`;
          if (logFormat === 'pretty') context.io.err(line);
          if (flags.json === true) printResult({ json: true, io: context.io }, facts, () => '');
        },
        onStopSignal: (listener) => context.io.onInterrupt(listener),
      });
      context.exitStatus = left === 0 ? 0 : 1;
    });
}

/** The options as settings of the config file's form. */
export function settingsOfFlags(flags: HostFlags): Record<string, unknown> {
  const { peer, listen, name, migrationListen, insecureMigration, state, tokenFile, logLevel, logFormat } = flags;
  const {
    tls,
    keepVisits,
    sampleEvery,
    keepHistory,
    spareThreads,
    fleetKeyFile,
    bandwidth,
    dscp,
    tokensFile,
    auditLog,
  } = flags;
  const { fleetNats, fleetPrefix, fleetNatsCredentials, fleetNatsTokenFile, fleetApi, fleetMigration } = flags;
  const peers = peer?.map((text) => {
    const at = text.indexOf('=');
    return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  });
  const settings = {
    ...{ listen, name, migrationListen, insecureMigration, state, tokenFile, logLevel, logFormat },
    ...{ tls, keepVisits, sampleEvery, keepHistory, spareThreads, fleetKeyFile, bandwidth, dscp, tokensFile, auditLog },
    ...{ fleetNats, fleetPrefix, fleetNatsCredentials, fleetNatsTokenFile, fleetApi, fleetMigration },
  };
  return {
    ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)),
    ...(peers === undefined ? {} : { peers: Object.fromEntries(peers) as Record<string, string> }),
  };
}

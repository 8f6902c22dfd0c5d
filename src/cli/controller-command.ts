/** `godwit controller`: runs the controller of a fleet in the foreground. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { collectFlag } from './collect-flag.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';
import { VERSION } from './version.ts';

interface ControllerOptions {
  readonly fleet: string;
  readonly state: string;
  readonly name?: string;
  readonly listen?: string[];
  readonly tokenFile?: string;
  readonly tokensFile?: string;
  readonly auditLog?: string;
  readonly nats?: string[];
  readonly natsCredentials?: string;
  readonly natsTokenFile?: string;
  readonly natsPrefix?: string;
  readonly natsReplicas?: number;
  readonly logLevel: string;
  readonly logFormat?: 'pretty' | 'json';
}

export function addControllerCommand(program: Command, context: CommandContext): void {
  program
    .command('controller')
    .description('run the controller of a fleet in the foreground; SIGTERM ends it, and what runs, runs on')
    .option('--fleet <file>', 'the hosts of the fleet (docs/fleet.md)', 'fleet.yaml')
    .option('--state <dir>', 'state directory', '/var/lib/godwit-controller')
    .option('--name <name>', "this controller's name (default: the machine's)")
    .option(
      '--listen <address>',
      'API address HOST:PORT or unix:/path; may be given again (default: 127.0.0.1:7720)',
      collectFlag,
    )
    .option(
      '--tokens-file <file>',
      'file of further tokens, each with rights of its own (godwit token; docs/operations.md)',
    )
    .option(
      '--audit-log <file>',
      'file of one line a request that may change something or is refused (default: the log)',
    )
    .option('--nats <url>', 'keep all in NATS JetStream, for several controllers; may be given again', collectFlag)
    .option('--nats-credentials <file>', 'credentials file of NATS (.creds)')
    .option('--nats-token-file <file>', 'file with the token of NATS')
    .option('--nats-prefix <name>', 'of the bucket and the streams, one for each fleet (default: godwit)')
    .option('--nats-replicas <n>', 'copies that a cluster of NATS keeps: 1, 3 or 5 (default: 1)', parseCount)
    .addOption(
      new Option('--log-level <level>').choices(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
    )
    .addOption(new Option('--log-format <format>', 'default: pretty in a terminal').choices(['pretty', 'json']))
    .action(async (_flags: ControllerOptions, command: Command) => {
      const flags = context.options<ControllerOptions>(command);
      // Loaded here only: no other command needs the stores.
      const [{ resolveController }, { runController }] = await Promise.all([
        import('../controller/controller-config.ts'),
        import('../controller/run-controller.ts'),
      ]);
      await runController({
        config: resolveController(flags, context.io.environment['GODWIT_TOKEN']),
        version: VERSION,
        logLevel: flags.logLevel,
        logFormat: flags.logFormat ?? (context.io.errIsTerminal ? 'pretty' : 'json'),
        ready: (facts) => {
          context.io.err(`godwit controller ${facts.name} ready: API ${facts.api}, store ${facts.store}\n`);
          if (flags.json === true) printResult({ json: true, io: context.io }, facts, () => '');
        },
        onStopSignal: (listener) => context.io.onInterrupt(listener),
      });
    });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count)) return count;
  throw new InvalidArgumentError('give 1, 3 or 5');
}

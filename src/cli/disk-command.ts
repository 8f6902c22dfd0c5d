/** `godwit disk serve`: an image as a disk that others reach over NBD. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isLoopback, parseHostPort } from '../api/listen.ts';
import { GodwitError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

interface ServeFlags {
  readonly socket?: string;
  readonly listen?: string;
  readonly insecure?: boolean;
  readonly export: string;
  readonly readOnly?: boolean;
  readonly raw?: boolean;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

const DEFAULT_LISTEN = '127.0.0.1:10809';

export function addDiskCommands(program: Command, context: CommandContext): void {
  const disk = program.command('disk').description('disks of VMs');
  disk
    .command('serve')
    .description('serve a raw image or block device over NBD (docs/disks.md); SIGTERM ends it when all is answered')
    .argument('<image>', 'file or block device')
    .option('--socket <path>', 'listen on a unix socket')
    .option('--listen <address>', `listen on HOST:PORT (default: ${DEFAULT_LISTEN})`)
    .option('--insecure', 'allow an address that other machines can reach, unencrypted')
    .option('--export <name>', 'name of the export', '')
    .option('--read-only', 'clients cannot change it')
    .option('--raw', 'it is raw, though its first bytes are those of a format')
    .option('--tls-certificate <file>', 'certificate of this server (PEM): TLS 1.3, and nothing without')
    .option('--tls-key <file>', 'its key (PEM)')
    .option('--tls-ca <file>', 'clients must show a certificate of this authority (PEM)')
    .addHelpText('after', '\nSIGUSR1 prints what each client has asked for, with --json as one line of JSON.')
    .action(async (image: string, _flags: ServeFlags, command: Command) => {
      const flags = context.options<ServeFlags>(command);
      const { io } = context;
      const isJson = flags.json === true;
      const tls = tlsOf(flags);
      const address = addressOf(flags, tls !== undefined);
      // Loaded here only: no other command needs it.
      const { runDiskServer } = await import('../storage/nbd/run-disk-server.ts');
      await runDiskServer(
        {
          ...{ address, tls, path: resolve(image), exportName: flags.export },
          ...{ isReadOnly: flags.readOnly === true, isRaw: flags.raw === true },
        },
        {
          ready: (facts) => {
            io.err(`godwit disk serve ready: ${facts.image} (${formatSize(facts.bytes)}) at ${facts.uri}\n`);
            if (isJson) printResult({ json: true, io }, facts, () => '');
          },
          onEvent: (event) => {
            if (isJson) io.err(`${JSON.stringify(event)}\n`);
            else if (event.kind === 'strangerCutOff') io.err(`client ${event.peer} was cut off: ${event.reason}\n`);
            else if (event.kind === 'clientCame') io.err(`client ${event.client} (${event.peer}) came\n`);
            else
              io.err(
                `client ${event.client} (${event.peer}) went${event.reason === null ? '' : `: ${event.reason}`}\n`,
              );
          },
          note: (text) => io.err(`${text}\n`),
          tell: (clients) => {
            if (isJson) io.err(`${JSON.stringify({ kind: 'clients', clients })}\n`);
            else if (clients.length === 0) io.err('no clients\n');
            for (const { client, peer, openRequests, counted } of isJson ? [] : clients) {
              const { requests, failed, readBytes, writtenBytes, flushes } = counted;
              const moved = `${formatSize(readBytes)} read, ${formatSize(writtenBytes)} written, ${flushes} flushes`;
              io.err(
                `client ${client} (${peer}): ${requests} requests, ${openRequests} open, ${failed} failed; ${moved}\n`,
              );
            }
          },
          onStopSignal: (listener) => io.onInterrupt(listener),
        },
      );
    });
}

function addressOf(
  { socket, listen, insecure }: ServeFlags,
  isEncrypted: boolean,
): { path: string } | { host: string; port: number } {
  if (socket !== undefined) {
    if (listen === undefined) return { path: resolve(socket) };
    throw invalid('--socket', socket, 'give either --socket or --listen');
  }
  const address = parseHostPort(listen ?? DEFAULT_LISTEN, '--listen');
  if (isLoopback(address.host) || isEncrypted || insecure === true) return address;
  const fix = 'give --tls-certificate and --tls-key, or --insecure if the network may see and change the disk';
  throw invalid('--listen', listen ?? '', fix);
}

function tlsOf({
  tlsCertificate,
  tlsKey,
  tlsCa,
}: ServeFlags): { certificate: string; key: string; authority: string | undefined } | undefined {
  if (tlsCertificate !== undefined && tlsKey !== undefined) {
    return { certificate: tlsCertificate, key: tlsKey, authority: tlsCa };
  }
  const alone = tlsCertificate ?? tlsKey ?? tlsCa;
  if (alone === undefined) return undefined;
  throw invalid('--tls-certificate', alone, 'give --tls-certificate and --tls-key together');
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

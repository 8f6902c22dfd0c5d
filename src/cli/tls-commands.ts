/** `godwit tls`: certificates for the migration ports of a fleet's hosts. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { parseInput } from '../api/input-error.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { CertifiedHost, IssuedHost } from '../tls/authority.ts';
import { collectFlag } from './collect-flag.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

interface InitFlags {
  readonly host?: string[];
  readonly days?: string;
}

const HOST_FIX = 'give NAME or NAME,ADDRESS,… such as a,10.0.0.1';
const DAYS_FIX = 'give a whole number of days from 1 to 3650';
const MOST_DAYS = 3650;
const ADDRESS = /^[0-9A-Za-z]([0-9A-Za-z.:_-]{0,252})$/;

export function addTlsCommands(program: Command, context: CommandContext): void {
  const tls = program.command('tls').description('certificates with which hosts migrate VMs over TLS');
  tls
    .command('init')
    .description('make a certificate authority in a directory, and certificates for hosts')
    .argument('<dir>', 'directory of the authority; keep it off the hosts')
    .option(
      '--host <name,address...>',
      'a host: its name, and further names and IP addresses that it is reached at; may be given again',
      collectFlag,
    )
    .option('--days <number>', 'how long certificates of hosts are valid (default: 365)')
    .action(async (dir: string, _flags: InitFlags, command: Command) => {
      const { host = [], days } = context.options<InitFlags>(command);
      const hosts = host.map((text) => parseHost(text, '--host'));
      const { createAuthority } = await import('../tls/authority.ts');
      const wanted = parseDays(days);
      await createAuthority(resolve(dir));
      await issue(dir, hosts, wanted, command, context);
    });
  tls
    .command('host')
    .description('make certificates of hosts, or new ones for those that have one (which keep their addresses)')
    .argument('<dir>', 'directory of the authority')
    .argument('<name,address...>', 'hosts')
    .option('--days <number>', 'how long they are valid (default: 365)')
    .action(async (dir: string, names: string[], _flags: InitFlags, command: Command) => {
      const { days } = context.options<InitFlags>(command);
      const hosts = names.map((text) => parseHost(text, 'HOST'));
      await issue(dir, hosts, parseDays(days), command, context);
    });
}

async function issue(
  dir: string,
  hosts: readonly CertifiedHost[],
  days: number | undefined,
  command: Command,
  context: CommandContext,
): Promise<void> {
  // Loaded here only: no other command needs it.
  const { certifyHost, DEFAULT_HOST_DAYS, validityOf } = await import('../tls/authority.ts');
  const directory = resolve(dir);
  const issued: IssuedHost[] = [];
  for (const host of hosts) issued.push(await certifyHost(directory, host, validityOf(days ?? DEFAULT_HOST_DAYS)));
  printResult(context.output(command), { directory, hosts: issued }, () => renderIssued(directory, issued));
}

/** Which files go where. */
export function renderIssued(directory: string, hosts: readonly IssuedHost[]): string {
  const lines = [`Certificate authority: ${directory} (ca.key signs for every host: keep it off the hosts)`];
  for (const { name, directory: place, certificate, isRenewed } of hosts) {
    const until = new Date(certificate.notAfterMs).toISOString().slice(0, 10);
    lines.push(`${isRenewed ? 'Renewed' : 'Host'} ${name}: ${certificate.names.join(', ')}; valid until ${until}`);
    lines.push(`  copy to ${name}:  scp -p ${place}/{ca.crt,tls.crt,tls.key} root@${name}:/etc/godwit/tls/`);
  }
  if (hosts.length === 0) lines.push(`Next: godwit tls host ${directory} NAME,ADDRESS`);
  else if (hosts.every(({ isRenewed }) => isRenewed))
    lines.push('Daemons take them at the next connection; nothing is restarted.');
  else
    lines.push('Then on each host:  godwit host --tls /etc/godwit/tls …   (tls: /etc/godwit/tls in its configuration)');
  return lines.join('\n');
}

function parseHost(text: string, field: string): CertifiedHost {
  const [name, ...addresses] = text.split(',');
  const wrong = addresses.find((address) => !ADDRESS.test(address));
  if (wrong !== undefined) throw new GodwitError('GW_INPUT_INVALID', { field, value: text, fix: HOST_FIX });
  return { name: parseInput(NameSchema, name, field), addresses };
}

function parseDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= MOST_DAYS) return days;
  throw new GodwitError('GW_INPUT_INVALID', { field: '--days', value: text, fix: DAYS_FIX });
}

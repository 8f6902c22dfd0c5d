/** `godwit doctor`: what this machine can do, without a daemon. */
import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

interface DoctorProbe {
  readonly id: string;
  readonly title: string;
  readonly ok: boolean;
  readonly value?: string;
  readonly reason?: string;
  readonly fix?: string;
  readonly needed: string;
}

export function addDoctorCommand(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('try every kernel, QEMU and privilege feature that godwit uses on this machine')
    .option('--qemu <binary...>', 'QEMU binaries to try', ['qemu-system-x86_64'])
    .option('--tls <dir>', "where this host's certificate is", '/etc/godwit/tls')
    .action(async (options: { qemu: string[]; tls: string }, command: Command) => {
      const { runDoctor } = await import('../host/doctor.ts');
      const probes: readonly DoctorProbe[] = await runDoctor(options.qemu, options.tls);
      const ok = probes.every((probe) => probe.ok || probe.needed !== 'always');
      context.exitStatus = ok ? 0 : 1;
      printResult(context.output(command), { ok, probes }, () => renderDoctor(probes));
    });
}

export function renderDoctor(probes: readonly DoctorProbe[]): string {
  const lines: string[] = [];
  for (const probe of probes) {
    const needed =
      probe.ok || probe.needed === 'always'
        ? ''
        : ` (${probe.needed === 'optional' ? 'optional' : `only for: ${probe.needed}`})`;
    lines.push(
      `${probe.ok ? 'yes' : 'no '}  ${probe.title}${probe.value === undefined ? '' : `: ${probe.value}`}${needed}`,
    );
    if (probe.ok) continue;
    if (probe.reason !== undefined) lines.push(`       reason: ${probe.reason}`);
    if (probe.fix !== undefined) lines.push(`       fix: ${probe.fix}`);
  }
  const missing = probes.filter((probe) => !probe.ok && probe.needed === 'always').length;
  lines.push(
    missing === 0
      ? 'Everything that godwit always needs is there.'
      : `${missing} of what godwit always needs is missing.`,
  );
  return lines.join('\n');
}

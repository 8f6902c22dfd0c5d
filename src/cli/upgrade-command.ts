/** `godwit vm upgrade`: another QEMU for a VM that runs. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { UpgradeReportView } from '../api/upgrade-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

export function addUpgradeCommand(vm: Command, context: CommandContext): void {
  vm.command('upgrade')
    .description('replace its QEMU by another one while it runs, without copying memory; Ctrl-C keeps the old one')
    .argument('<name>')
    .option('--qemu <path>', 'the new QEMU binary (default: the file that the VM was started from, as it is now)')
    .action(async (name: string, options: { qemu?: string }, command: Command) => {
      const { io } = context;
      const request = options.qemu === undefined ? {} : { qemu: pathOf(options.qemu) };
      const report = await withClient(context.options(command), io, async (client) => {
        const forget = io.onInterrupt(() => {
          client.cancelUpgrade(name).catch((error: unknown) => {
            // It has ended meanwhile, and says how.
            if (!hasCode(error, 'GW_NOT_FOUND')) io.err(`${explain(error)}\n`);
          });
        });
        try {
          return await client.upgradeVm(name, request);
        } finally {
          forget();
        }
      });
      printResult(context.output(command), report, () => renderUpgrade(report));
    });
}

/** The daemon's directory is another one. */
function pathOf(binary: string): string {
  return binary.includes('/') ? resolve(binary) : binary;
}

export function renderUpgrade(report: UpgradeReportView): string {
  const { vm, pid, from, to, downtimeMs, totalMs, stateBytes, notes } = report;
  const { saveMs, loadMs, commitMs, resumeMs } = report;
  const parts = [`save ${ms(saveMs)}`, `load ${ms(loadMs)}`, `commit ${ms(commitMs)}`, `resume ${ms(resumeMs)}`];
  return [
    `VM ${vm} runs in QEMU ${to.version} now (pid ${pid}).`,
    `  before    QEMU ${from.version}, ${from.binary}`,
    `  now       QEMU ${to.version}, ${to.binary}`,
    `  downtime  ${downtimeMs === null ? 'none: it was paused, and still is' : `${ms(downtimeMs)} (${parts.join(', ')})`}`,
    `  total     ${formatDuration(totalMs)}; ${formatSize(stateBytes)} of device state, no memory copied`,
    ...notes.map((note) => `  note      ${note}`),
  ].join('\n');
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

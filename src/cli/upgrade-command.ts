/** `godwit vm upgrade`: another QEMU for a VM that runs. */
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { UpgradeReportView } from '../api/upgrade-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

/** Less than a QEMU takes to start. */
const AGAIN_AFTER_MS = 50;

export function addUpgradeCommand(vm: Command, context: CommandContext): void {
  vm.command('upgrade')
    .description('replace its QEMU by another one while it runs, without copying memory; Ctrl-C keeps the old one')
    .argument('<name>')
    .option('--qemu <path>', 'the new QEMU binary (default: the file that the VM was started from, as it is now)')
    .action(async (name: string, options: { qemu?: string }, command: Command) => {
      const { io } = context;
      const request = options.qemu === undefined ? {} : { qemu: pathOf(options.qemu) };
      const report = await withClient(context.options(command), io, async (client) => {
        const over = new AbortController();
        const forget = io.onInterrupt(() => {
          cancelUntil(over.signal, () => client.cancelUpgrade(name)).catch((error: unknown) => {
            io.err(`${explain(error)}\n`);
          });
        });
        try {
          return await client.upgradeVm(name, request);
        } finally {
          over.abort();
          forget();
        }
      });
      printResult(context.output(command), report, () => renderUpgrade(report));
    });
}

/** The daemon may not have heard of it yet; once it has ended, it says how. */
export async function cancelUntil(over: AbortSignal, cancel: () => Promise<unknown>): Promise<void> {
  while (!over.aborted) {
    try {
      await cancel();
      return;
    } catch (error) {
      if (!hasCode(error, 'GW_NOT_FOUND')) throw error;
    }
    await delay(AGAIN_AFTER_MS);
  }
}

/** The daemon's directory is another one. */
function pathOf(binary: string): string {
  return binary.includes('/') ? resolve(binary) : binary;
}

export function renderUpgrade(report: UpgradeReportView): string {
  const { vm, pid, state, from, to, downtimeMs, totalMs, stateBytes, notes } = report;
  const { saveMs, loadMs, commitMs, resumeMs } = report;
  const parts = [`save ${ms(saveMs)}`, `load ${ms(loadMs)}`, `commit ${ms(commitMs)}`, `resume ${ms(resumeMs)}`];
  return [
    `VM ${vm} is in QEMU ${to.version} now (pid ${pid}), ${state}.`,
    `  before    QEMU ${from.version}, ${from.binary}`,
    `  now       QEMU ${to.version}, ${to.binary}`,
    `  downtime  ${downtimeMs === null ? explainNoDowntime(report) : `${ms(downtimeMs)} (${parts.join(', ')})`}`,
    `  total     ${formatDuration(totalMs)}; ${formatSize(stateBytes)} of device state, no memory copied`,
    ...notes.map((note) => `  note      ${note}`),
  ].join('\n');
}

function explainNoDowntime({ vm, wasRunning, state }: UpgradeReportView): string {
  if (!wasRunning) return 'none: it did not run before';
  if (state === 'running') return 'not known';
  return `it ran before, and is ${state} now: see the notes, and try godwit vm resume ${vm}`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

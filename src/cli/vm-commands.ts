/** `godwit vm …`: the VMs of a host. */
import { type Command, Option } from 'commander';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs } from '../base/units.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { renderHistory } from './history-view.ts';
import { printResult } from './io.ts';
import { readSpec } from './read-spec.ts';
import { addUpgradeCommand } from './upgrade-command.ts';
import { renderVm, renderVmList } from './vm-view.ts';

export function addVmCommands(program: Command, context: CommandContext): void {
  const vm = program.command('vm').description('create, adopt, watch and stop the VMs of a host');
  vm.command('create')
    .description('create and start a VM from a spec')
    .argument('<spec>', 'YAML or JSON file (docs/spec.md), - for stdin; paths in it count from its directory')
    .action(async (path: string, _options: unknown, command: Command) => {
      const spec = readSpec(path);
      const created = await withClient(context.options(command), context.io, (client) => client.createVm(spec));
      printResult(
        context.output(command),
        created,
        () => `VM ${created.name} is ${created.state} (pid ${created.pid}).`,
      );
    });
  vm.command('adopt')
    .description('take over a QEMU that somebody else started')
    .argument('<name>', 'its name on this host')
    .requiredOption('--pid <pid>', "QEMU's process id", (text: string) => parsePid(text))
    .requiredOption('--qmp <path>', 'its QMP unix socket, to which nothing else may be connected')
    .action(async (name: string, options: { pid: number; qmp: string }, command: Command) => {
      const adopted = await withClient(context.options(command), context.io, (client) =>
        client.adoptVm({ name, pid: options.pid, qmp: options.qmp }),
      );
      printResult(context.output(command), adopted, () =>
        [
          `VM ${adopted.name} is ${adopted.state} (pid ${adopted.pid}, adopted).`,
          ...adopted.notes.map((note) => `  blocks migration: ${note}`),
        ].join('\n'),
      );
    });
  vm.command('list')
    .alias('ls')
    .description('all VMs of the host')
    .action(async (_options: unknown, command: Command) => {
      const vms = await withClient(context.options(command), context.io, (client) => client.listVms());
      printResult(context.output(command), vms, () => renderVmList(vms));
    });
  vm.command('show')
    .description('one VM')
    .argument('<name>')
    .action(async (name: string, _options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.showVm(name));
      printResult(context.output(command), shown, () => renderVm(shown));
    });
  for (const [action, description] of [
    ['pause', 'stop its vCPUs; it stays in memory'],
    ['resume', 'let a paused VM go on'],
    ['kill', 'end QEMU at once, like pulling the plug'],
  ] as const) {
    vm.command(action)
      .description(description)
      .argument('<name>')
      .action(async (name: string, _options: unknown, command: Command) => {
        const after = await withClient(context.options(command), context.io, (client) => client.actOnVm(name, action));
        printResult(context.output(command), after, () => `VM ${after.name} is ${after.state}.`);
      });
  }
  vm.command('stop')
    .description('ask the guest to power down; force it after a time')
    .argument('<name>')
    .addOption(
      new Option('--timeout <duration>', 'how long the guest may take, 0s to force at once')
        .argParser((text: string) => parseDurationMs(text, '--timeout'))
        .default(30_000, '30s'),
    )
    .action(async (name: string, options: { timeout: number }, command: Command) => {
      const after = await withClient(context.options(command), context.io, (client) =>
        client.stopVm(name, { timeoutMs: Math.round(options.timeout) }),
      );
      printResult(
        context.output(command),
        after,
        () => `VM ${after.name} is ${after.state}: ${after.ended?.reason ?? ''}.`,
      );
    });
  vm.command('rm')
    .description('forget a VM whose QEMU has ended, with its console text')
    .argument('<name>')
    .action(async (name: string, _options: unknown, command: Command) => {
      await withClient(context.options(command), context.io, (client) => client.removeVm(name));
      printResult(context.output(command), { name, removed: true }, () => `VM ${name} is forgotten.`);
    });
  vm.command('history')
    .description('how fast it has been writing to its memory')
    .argument('<name>')
    .action(async (name: string, _options: unknown, command: Command) => {
      const history = await withClient(context.options(command), context.io, (client) => client.vmHistory(name));
      printResult(context.output(command), history, () => renderHistory(history, Date.now()));
    });
  addUpgradeCommand(vm, context);
  addConsole(vm, context);
}

function addConsole(vm: Command, context: CommandContext): void {
  vm.command('console')
    .description('what the guest has written to its serial console')
    .argument('<name>')
    .option('-f, --follow', 'go on with what it writes, until Ctrl-C or until it has left this host')
    .addOption(
      new Option('--tail <bytes>', 'only the last so many bytes').argParser((text: string) =>
        parseCount(text, '--tail'),
      ),
    )
    .action(async (name: string, options: { follow?: boolean; tail?: number }, command: Command) => {
      const output = context.output(command);
      const tail = options.tail === undefined ? {} : { tail: options.tail };
      if (output.json && options.follow === true) {
        throw new GodwitError('GW_USAGE', {
          reason: '--follow does not end, so it cannot be one JSON document: leave out --json',
        });
      }
      await withClient(context.options(command), context.io, async (client) => {
        if (options.follow !== true) {
          const text = await client.consoleText(name, tail);
          printResult(output, { name, text }, () => text);
          return;
        }
        const stop = new AbortController();
        const forget = context.io.onInterrupt(() => stop.abort());
        const decoder = new TextDecoder();
        try {
          for await (const chunk of client.followConsole(name, { ...tail, signal: stop.signal })) {
            context.io.out(decoder.decode(chunk, { stream: true }));
          }
        } finally {
          forget();
        }
      });
    });
}

function parsePid(text: string): number {
  return parseCount(text, '--pid');
}

function parseCount(text: string, field: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new GodwitError('GW_INPUT_INVALID', { field, value: text, fix: 'give a whole number' });
}

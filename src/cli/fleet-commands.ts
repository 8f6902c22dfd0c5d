/** `godwit fleet …`: many hosts at once, by a controller or without one. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { GodwitError } from '../base/errors.ts';
import type { CommandContext } from './command-context.ts';
import { renderHostCommonality } from './commonality-view.ts';
import { type FleetAccess, type FleetFlags, fleetOptions, withController, withFleet } from './fleet-access.ts';
import { addEvacuationCommands, leavingOptions, type PlanFlags } from './fleet-evacuation-commands.ts';
import { renderBalance, renderFleetHistory } from './fleet-history-view.ts';
import { renderCommonality, renderFleet } from './fleet-view.ts';
import { printResult } from './io.ts';
import { addSimulateCommands } from './simulate-command.ts';

export function addFleetCommands(program: Command, context: CommandContext): void {
  const fleet = program.command('fleet').description('many hosts at once: what they have in common, plans, evacuation');
  fleetOptions(fleet.command('status'))
    .description('hosts and VMs')
    .action(async (_flags: FleetFlags, command: Command) => {
      const shown = await withFleet(context, command, ({ actions }) => actions.fleet());
      printResult(context.output(command), shown, () => renderFleet(shown));
      context.exitStatus = shown.hosts.some(({ failure }) => failure !== null) ? 1 : 0;
    });
  fleetOptions(fleet.command('commonality'))
    .description('how much of their memory the VMs have in common, each pair')
    .argument('[host]', 'of this host, also within pages, and as matrices with --json')
    .option('--exact', "look through all memory of the host's VMs and compare it, instead of estimating from samples")
    .action(async (host: string | undefined, { exact = false }: { exact?: boolean }, command: Command) => {
      if (host !== undefined) {
        const view = await withFleet(context, command, ({ actions }) => actions.hostCommonality(host, exact));
        printResult(context.output(command), view, () => renderHostCommonality(view));
        return;
      }
      if (exact) {
        const fix = 'give the host whose VMs are compared exactly';
        throw new GodwitError('GW_INPUT_MISSING', { field: '<host>', fix });
      }
      const pairs = await withFleet(context, command, ({ actions }) => actions.commonality());
      printResult(context.output(command), pairs, () => renderCommonality(pairs));
    });
  leavingOptions(fleet.command('plan'))
    .description('what an evacuation would do now, and why')
    .action(async (host: string, { to, deadline: deadlineMs, skip, together }: PlanFlags, command: Command) => {
      const query = { host, to, deadlineMs, skip, together };
      const plan = await withFleet(context, command, ({ actions }) => actions.plan(query));
      printResult(context.output(command), plan, () => plan.words.join('\n'));
      const isSilent = plan.unreachable.some(({ name }) => name === host || name === to);
      context.exitStatus = plan.refused.length > 0 || plan.late.length > 0 || isSilent ? 1 : 0;
    });
  addEvacuationCommands(fleet, context);
  fleetOptions(fleet.command('maintenance'))
    .description('mark a host: it gets no VMs and is evacuated; or take the mark away')
    .argument('<host>')
    .argument('<on|off>', undefined, (word: string) => {
      if (word === 'on' || word === 'off') return word;
      throw new InvalidArgumentError('give on or off');
    })
    .option('--reason <text>', 'for whoever looks')
    .option('--stay', 'only mark it, move nothing')
    .action(async (host: string, word: string, flags: { reason?: string; stay?: boolean }, command: Command) => {
      const { reason, stay } = flags;
      const request = { on: word === 'on', evacuate: stay !== true, ...(reason === undefined ? {} : { reason }) };
      const answer = await withController(context, command, ({ actions }) => actions.setMaintenance(host, request));
      const evacuated = answer.evacuation === null ? '' : `; evacuation ${answer.evacuation}`;
      printResult(context.output(command), answer, () =>
        answer.maintenance === null ? `${host} takes VMs again.` : `${host} is marked for maintenance${evacuated}.`,
      );
    });
  fleetOptions(fleet.command('forget'))
    .description('forget a host that had registered by itself and is gone for good')
    .argument('<host>')
    .action(async (host: string, _flags: object, command: Command) => {
      const answer = await withController(context, command, ({ actions }) => actions.forgetHost(host));
      printResult(context.output(command), answer, () => `${answer.host} is forgotten.`);
    });
  fleetOptions(fleet.command('balance'))
    .description('move VMs from busy hosts to others')
    .option('--dry-run', 'only say which')
    .option('--to <host>', 'only to this host, such as a new one')
    .action(async ({ dryRun, to }: { dryRun?: boolean; to?: string }, command: Command) => {
      const request = { dryRun: dryRun === true, ...(to === undefined ? {} : { to }) };
      const ask = ({ actions }: FleetAccess) => actions.balance(request);
      const balance = await (dryRun === true ? withFleet : withController)(context, command, ask);
      printResult(context.output(command), balance, () => renderBalance(balance));
    });
  fleetOptions(fleet.command('lead'))
    .description('have the controller lead by a higher epoch, where its store was restored from a backup')
    .requiredOption('--epoch <n>', 'that hosts know, as they say where they refuse (GW_ORDER_OUTDATED)', parseEpoch)
    .action(async ({ epoch: atLeast }: { epoch: number }, command: Command) => {
      const leader = await withController(context, command, ({ actions }) => actions.lead({ atLeast }));
      printResult(context.output(command), leader, () => `Orders are of epoch ${leader.epoch} from now on.`);
    });
  fleetOptions(fleet.command('history'))
    .description('migrations and evacuations that have ended, predicted and actual')
    .option('--vm <name>', 'only of this VM')
    .option('--host <name>', 'only from or to this host')
    .option('--limit <n>', 'how many at most', parseLimit, 20)
    .action(async (query: { vm?: string; host?: string; limit: number }, command: Command) => {
      const history = await withController(context, command, ({ actions }) => actions.history(query));
      printResult(context.output(command), history, () => renderFleetHistory(history));
    });
  addSimulateCommands(fleet, context);
}

function parseEpoch(text: string): number {
  const epoch = Number(text);
  if (Number.isSafeInteger(epoch) && epoch > 0) return epoch;
  throw new InvalidArgumentError('give the epoch that hosts know');
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0 && limit <= 1000) return limit;
  throw new InvalidArgumentError('give a whole number from 1 to 1000');
}

/**
 * `godwit fleet …`: many hosts at once.
 *
 * Must hold: Ctrl-C cancels what runs and begins nothing more, and pressed again leaves at once; whoever evacuates again goes on where the hosts are.
 */
import { type Command, Option } from 'commander';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs } from '../base/units.ts';
import { planBundled } from '../controller/bundled-plan.ts';
import { Evacuation } from '../controller/evacuation.ts';
import { type FleetFile, readFleetFile } from '../controller/fleet-file.ts';
import { FleetHosts } from '../controller/fleet-hosts.ts';
import { type FleetPicture, picture, refuseOwnAddresses } from '../controller/fleet-picture.ts';
import { LastOutlooks } from '../controller/last-outlooks.ts';
import { withUnderway } from '../controller/underway.ts';
import type { Move } from '../fleet/fleet-state.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import type { CommandContext } from './command-context.ts';
import { renderHostCommonality } from './commonality-view.ts';
import {
  pairsOf,
  renderCommonality,
  renderEvacuation,
  renderFleet,
  renderPlan,
  statusOf,
  tellEvent,
} from './fleet-view.ts';
import { printResult } from './io.ts';

/** A look asks every host for all of its VMs. */
const LOOK_AGAIN_MS = 1000;

interface FleetFlags {
  readonly fleet: string;
}

interface LeavingFlags extends FleetFlags {
  readonly to?: string;
  readonly deadline?: number;
  readonly together?: readonly (readonly string[])[];
  readonly skip?: readonly string[];
}

export function addFleetCommands(program: Command, context: CommandContext): void {
  const fleet = program.command('fleet').description('many hosts at once: what they have in common, plans, evacuation');
  const file = () => new Option('--fleet <file>', 'the hosts of the fleet (docs/fleet.md)').default('fleet.yaml');
  fleet
    .command('status')
    .description('hosts and VMs')
    .addOption(file())
    .action(async (flags: FleetFlags, command: Command) => {
      const shown = await look(readFleetFile(flags.fleet));
      printResult(context.output(command), statusOf(shown), () => renderFleet(shown));
      context.exitStatus = shown.failures.length > 0 ? 1 : 0;
    });
  fleet
    .command('commonality')
    .description('how much of their memory the VMs have in common, each pair')
    .argument('[host]', 'of this host, also within pages, and as matrices with --json')
    .option('--exact', "look through all memory of the host's VMs and compare it, instead of estimating from samples")
    .addOption(file())
    .action(async (host: string | undefined, flags: FleetFlags & { exact?: boolean }, command: Command) => {
      const output = context.output(command);
      if (host !== undefined) {
        await using hosts = new FleetHosts(readFleetFile(flags.fleet));
        const view = await hosts.commonality(host, flags.exact === true);
        printResult(output, view, () => renderHostCommonality(view));
        return;
      }
      if (flags.exact === true) {
        throw new GodwitError('GW_INPUT_MISSING', {
          field: '<host>',
          fix: 'give the host whose VMs are compared exactly',
        });
      }
      const shown = await look(readFleetFile(flags.fleet));
      const pairs = pairsOf(shown);
      printResult(output, pairs, () => renderCommonality(pairs));
    });
  leaving(fleet.command('plan'), file())
    .description('what an evacuation would do now, and why')
    .action(async (host: string, flags: LeavingFlags, command: Command) => {
      const fleetFile = fileOf(flags);
      refuseUnknown(fleetFile, host, flags.to);
      const shown = await look(fleetFile);
      refuseOwnAddresses(fleetFile, shown, host, flags.to ?? null);
      const moves = shown.vms
        .filter(({ fleetVm }) => fleetVm.host === host)
        .map(({ fleetVm, obstacle: own }): Move => {
          const obstacle = skipOf(flags).get(fleetVm.name) ?? own;
          const state =
            obstacle === null ? ({ kind: 'waiting' } as const) : ({ kind: 'parked', reason: obstacle } as const);
          return { vm: fleetVm.name, to: flags.to ?? null, deadlineAtMs: deadlineOf(flags), state };
        });
      const bundles = shown.bundles.filter((bundle) => bundle.host === host);
      const plan = planBundled({ ...shown.base, moves }, bundles, (state) =>
        nextPlan(withUnderway(state, shown.underway), shown.contents),
      );
      const unreachable = shown.failures;
      printResult(context.output(command), { ...plan, unreachable }, () => renderPlan(plan, unreachable));
      const isSilent = unreachable.some(({ name }) => name === host || name === flags.to);
      context.exitStatus = plan.refused.length > 0 || plan.late.length > 0 || isSilent ? 1 : 0;
    });
  leaving(fleet.command('evacuate'), file())
    .description('move all VMs away from a host')
    .action(async (from: string, flags: LeavingFlags, command: Command) => {
      const output = context.output(command);
      const fleetFile = fileOf(flags);
      await using hosts = new FleetHosts(fleetFile);
      refuseUnknown(fleetFile, from, flags.to);
      const last = new LastOutlooks();
      const [cancel, leave] = [new AbortController(), new AbortController()];
      const forget = context.io.onInterrupt(() => {
        if (cancel.signal.aborted) leave.abort();
        else context.io.err('cancelling (Ctrl-C again: leave what runs to itself) …\n');
        cancel.abort();
      });
      try {
        const evacuation = new Evacuation(
          {
            picture: async () => {
              const seen = picture(fleetFile, last.complete(await hosts.ask()), Date.now());
              refuseOwnAddresses(fleetFile, seen, from, flags.to ?? null);
              return seen;
            },
            begin: (host, vm, request) => hosts.begin(host, vm, request),
            endOf: (host, id, signal) => hosts.endOf(host, id, signal),
            cancel: (host, id) => hosts.cancel(host, id),
            beginGroup: (host, name, request) => hosts.beginGroup(host, name, request),
            endOfGroup: (host, id, signal) => hosts.endOfGroup(host, id, signal),
            cancelGroup: (host, id) => hosts.cancelGroup(host, id),
            nowMs: () => Date.now(),
            lookAgainMs: LOOK_AGAIN_MS,
            onEvent: (event) => tellEvent(context.io, event),
          },
          { from, to: flags.to ?? null, deadlineAtMs: deadlineOf(flags), skip: skipOf(flags) },
        );
        const outcome = await evacuation.run(cancel.signal, leave.signal);
        printResult(output, outcome, () => renderEvacuation(outcome));
        context.exitStatus = outcome.state === 'completed' ? 0 : outcome.state === 'cancelled' ? 130 : 1;
      } finally {
        forget();
      }
    });
}

function leaving(command: Command, file: Option): Command {
  return command
    .argument('<host>', 'the host that all VMs leave')
    .option('--to <host>', 'all to this host (default: to where there is room)')
    .addOption(
      new Option('--deadline <time>', 'all are to be there in this time, such as 10m').argParser((text: string) =>
        parseDurationMs(text, '--deadline'),
      ),
    )
    .addOption(
      new Option(
        '--together <vm,vm>',
        'these go to one host and are to switch over at about the same moment (may be given again)',
      ).argParser((text: string, before: string[][] = []) => [...before, text.split(',')]),
    )
    .addOption(
      new Option('--skip <vm>', 'this one stays (may be given again)').argParser(
        (text: string, before: string[] = []) => [...before, text],
      ),
    )
    .addOption(file);
}

async function look(file: FleetFile): Promise<FleetPicture> {
  await using hosts = new FleetHosts(file);
  return picture(file, await hosts.ask(), Date.now());
}

function fileOf({ fleet, together = [] }: LeavingFlags): FleetFile {
  const file = readFleetFile(fleet);
  return { ...file, together: [...file.together, ...together] };
}

function skipOf({ skip = [] }: LeavingFlags): Map<string, string> {
  return new Map(skip.map((vm) => [vm, 'it is to stay: --skip']));
}

/** @throws GW_INPUT_INVALID */
function refuseUnknown({ hosts }: FleetFile, from: string, to: string | undefined): void {
  const names = hosts.map(({ name }) => name);
  for (const [field, value] of [
    ['host', from],
    ['--to', to],
  ] as const) {
    if (value === undefined || names.includes(value)) continue;
    throw new GodwitError('GW_INPUT_INVALID', { field, value, fix: `give one of ${names.join(', ')}` });
  }
  if (from === to) throw new GodwitError('GW_INPUT_INVALID', { field: '--to', value: from, fix: 'give another host' });
}

function deadlineOf({ deadline }: LeavingFlags): number | null {
  return deadline === undefined ? null : Date.now() + deadline;
}

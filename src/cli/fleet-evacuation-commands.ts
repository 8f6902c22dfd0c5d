/**
 * `godwit fleet evacuate`, and what is done with evacuations that go on.
 *
 * Must hold: Ctrl-C cancels what runs and begins nothing more, and pressed again names what runs and leaves at once; a controller goes on with what is
 * left, and without one whoever evacuates again goes on where the hosts are.
 */
import { type Command, Option } from 'commander';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs } from '../base/units.ts';
import { collectFlag } from './collect-flag.ts';
import type { CommandContext, ExitStatus } from './command-context.ts';
import { outcomeOf, renderEvacuation, renderEvacuations, renderLeft } from './evacuation-view.ts';
import { type FleetAccess, type FleetFlags, fleetOptions, withController, withFleet } from './fleet-access.ts';
import { printResult } from './io.ts';

export interface PlanFlags extends FleetFlags {
  readonly to?: string;
  readonly deadline?: number;
  readonly skip?: string[];
  readonly together?: string[][];
}

interface EvacuateFlags extends PlanFlags {
  readonly vm?: string[];
  readonly detach?: boolean;
}

export function leavingOptions(command: Command): Command {
  return fleetOptions(
    command
      .argument('<host>', 'the host that all VMs leave')
      .option('--to <host>', 'all to this host (default: to where there is room)')
      .addOption(
        new Option('--deadline <time>', 'all are to be there in this time, such as 10m').argParser((text: string) =>
          parseDurationMs(text, '--deadline'),
        ),
      )
      .option('--skip <vm>', 'this one stays (may be given again)', collectFlag)
      .option(
        '--together <vm,vm>',
        'these go to one host and switch over at about the same moment, all or none (may be given again)',
        (text: string, before: string[][] = []) => [...before, text.split(',')],
      ),
  );
}

export function addEvacuationCommands(fleet: Command, context: CommandContext): void {
  leavingOptions(fleet.command('evacuate'))
    .description('move all VMs away from a host')
    .option('--vm <name>', 'only this VM; may be given again', collectFlag)
    .option('--detach', 'do not wait; the controller carries it out')
    .action(async (from: string, flags: EvacuateFlags, command: Command) => {
      const { to, deadline, vm, skip, together } = flags;
      const by = context.io.environment['USER'];
      const request = {
        from,
        ...(by === undefined || by === '' ? {} : { by }),
        ...(to === undefined ? {} : { to }),
        ...(vm === undefined ? {} : { vms: vm }),
        ...(skip === undefined ? {} : { skip }),
        ...(together === undefined ? {} : { together }),
        ...(deadline === undefined ? {} : { deadlineMs: deadline }),
      };
      await (flags.detach === true ? withController : withFleet)(context, command, async (access) => {
        const begun = await access.actions.evacuate(request);
        if (flags.detach !== true) return await follow(context, command, access, begun.id, { cancels: true });
        printResult(context.output(command), begun, () => `Evacuation ${begun.id} of ${from} has begun.`);
      });
    });
  fleetOptions(fleet.command('evacuations'))
    .description('evacuations that go on and the last that ended')
    .action(async (_flags: FleetFlags, command: Command) => {
      const all = await withController(context, command, ({ actions }) => actions.listEvacuations(100));
      printResult(context.output(command), all, () => renderEvacuations(all));
    });
  fleetOptions(fleet.command('watch'))
    .description('watch an evacuation to its end')
    .argument('<id>', 'its first characters do')
    .action(async (id: string, _flags: FleetFlags, command: Command) => {
      await withController(context, command, async (access) => {
        await follow(context, command, access, (await access.actions.showEvacuation(id)).id, { cancels: false });
      });
    });
  fleetOptions(fleet.command('cancel'))
    .description('cancel an evacuation: what runs is cancelled, what has arrived stays there')
    .argument('<id>', 'its first characters do')
    .action(async (id: string, _flags: FleetFlags, command: Command) => {
      const cancelled = await withController(context, command, ({ actions }) => actions.cancelEvacuation(id));
      printResult(context.output(command), cancelled, () => `Evacuation ${cancelled.id} is being cancelled.`);
    });
}

/** @param how - `cancels`: Ctrl-C does, the first time */
async function follow(
  context: CommandContext,
  command: Command,
  access: FleetAccess,
  id: string,
  how: { readonly cancels: boolean },
): Promise<void> {
  const { io } = context;
  const leave = new AbortController();
  let isCancelling = !how.cancels;
  const forget = io.onInterrupt(() => {
    if (isCancelling) leave.abort();
    else {
      io.err('cancelling (Ctrl-C again: leave what runs to itself) …\n');
      // Whether that is possible is seen by how it ends.
      access.actions.cancelEvacuation(id).catch((error: unknown) => io.err(`${String(error)}\n`));
    }
    isCancelling = true;
  });
  try {
    const view = await watchToEnd(context, access, id, leave.signal);
    if (view.endedAtMs === null) {
      if (how.cancels) printResult(context.output(command), outcomeOf(view), () => renderLeft(view));
      context.exitStatus = 130;
      return;
    }
    const hasBegun = view.vms.some(({ state }) => state === 'arrived' || state === 'left');
    if (view.error !== null && !hasBegun) throw GodwitError.fromBody(view.error);
    printResult(context.output(command), outcomeOf(view), () => renderEvacuation(view));
    context.exitStatus = exitStatusOf(view);
  } finally {
    forget();
  }
}

/** Tells what happens, and returns how it was when it was seen last. */
async function watchToEnd(
  { io }: CommandContext,
  access: FleetAccess,
  id: string,
  signal: AbortSignal,
): Promise<EvacuationView> {
  let toldAtMs = 0;
  const told = new Set<string>();
  let view = await access.actions.showEvacuation(id);
  const tell = ({ notes }: EvacuationView): void => {
    for (const { atMs, text } of notes) {
      const key = `${atMs} ${text}`;
      if (atMs < toldAtMs || told.has(key)) continue;
      toldAtMs = atMs;
      told.add(key);
      io.err(`${text}\n`);
    }
  };
  while (view.endedAtMs === null && !signal.aborted) {
    for await (const next of access.watch(id, signal)) {
      view = next;
      tell(view);
    }
  }
  tell(view);
  return view;
}

function exitStatusOf({ state }: EvacuationView): ExitStatus {
  if (state === 'completed') return 0;
  return state === 'cancelled' ? 130 : 1;
}

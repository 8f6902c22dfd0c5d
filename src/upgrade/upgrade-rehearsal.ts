/**
 * Going through the switch-over with a stand-in for both QEMUs, before a VM waits for it.
 *
 * Code that runs for the first time has to be compiled; in a switch-over, which the thread goes through once, that costs more
 * than the work itself. Must hold: nothing of it is left, and a rehearsal that fails is only a longer downtime.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asGodwitError } from '../base/errors.ts';
import { loadDeviceState } from '../qemu/device-state-load.ts';
import { saveDeviceState } from '../qemu/device-state-save.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { contVm } from '../qemu/run-state.ts';
import { StandInQemu } from '../qemu/stand-in.ts';
import { StateOutlet } from '../qemu/state-outlet.ts';
import { switchOver } from './switch-over.ts';
import { UpgradeJournal } from './upgrade-journal.ts';
import type { UpgradeInput } from './upgrade-words.ts';

/** From then on nothing gets quicker. */
const TIMES = 6;
/** A machine on which it takes longer has other worries. */
const LIMIT_MS = 3_000;

/** @returns what went wrong, for whom it may concern */
export async function rehearseUpgrade(input: UpgradeInput, cancelled: AbortSignal): Promise<string | undefined> {
  const signal = AbortSignal.any([cancelled, AbortSignal.timeout(LIMIT_MS)]);
  try {
    for (let i = 0; i < TIMES && !signal.aborted; i++) await perform(input, signal);
    return undefined;
  } catch (error) {
    return `The switch-over could not be rehearsed and will take longer: ${asGodwitError(error).message}`;
  }
}

async function perform({ vm, stateDirectory }: UpgradeInput, signal: AbortSignal): Promise<void> {
  using stack = new DisposableStack();
  // What a daemon that is killed meanwhile leaves there is removed by the next one (spare-threads.ts).
  const rehearsals = join(stateDirectory, 'rehearsals');
  mkdirSync(rehearsals, { recursive: true, mode: 0o700 });
  const stage = mkdtempSync(join(rehearsals, 'u'));
  stack.defer(() => rmSync(stage, { recursive: true, force: true }));
  stack.use(await StandInQemu.open(join(stage, 'old')));
  stack.use(await StandInQemu.open(join(stage, 'new')));
  const old = stack.use(await QmpClient.connect(join(stage, 'old'), { signal }));
  const successor = stack.use(await QmpClient.connect(join(stage, 'new'), { signal }));
  const journal = stack.use(UpgradeJournal.create(join(stage, 'journal', 'upgrade.journal')));
  const load = loadDeviceState(successor, join(stage, 'load'), { logPath: join(stage, 'log'), signal });
  load.loaded.catch(() => undefined);
  await load.ready;
  await switchOver({
    save: saveDeviceState(old, await StateOutlet.open(join(stage, 'save')), { signal }),
    load,
    accel: 'tcg',
    wasRunning: true,
    signal,
    commit: async () => journal.append({ kind: 'committed', vm, settings: null }),
    resume: () => contVm(successor, { signal }),
  });
}

/**
 * What is seen of a group's migration while it runs.
 *
 * Must hold: Ctrl-C cancels as long as that is possible, and otherwise leaves the group to go on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import { ERRORS, type ErrorCode, explain } from '../base/errors.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { ExitStatus } from './command-context.ts';
import type { Io } from './io.ts';

const LOOK_EVERY_MS = 100;

/** Tells what changes, until it has ended or the user goes. */
export async function watchGroup(
  client: GodwitClient,
  started: GroupMigrationView,
  io: Io,
): Promise<GroupMigrationView> {
  const { id } = started;
  let interrupts = 0;
  const forget = io.onInterrupt(() => {
    interrupts++;
    if (interrupts > 1) return;
    io.err('cancelling (Ctrl-C again: leave it running) …\n');
    client.cancelGroupMigration(id).catch((error: unknown) => io.err(`${explain(error)}\n`));
  });
  try {
    for (let told = '', view = started; ; ) {
      const line = describe(view);
      if (line !== told) io.err(`${line}\n`);
      told = line;
      if (view.totalMs !== null || interrupts > 1) return view;
      await delay(LOOK_EVERY_MS);
      view = await client.showGroupMigration(id);
    }
  } finally {
    forget();
  }
}

function describe({ group, state, members, waitsFor }: GroupMigrationView): string {
  const vms = members.map((member) => `${member.vm} ${member.stoppedBy ? `${member.state}, called` : member.state}`);
  // What is left counts down; the line is told again for what a user may have to do something about.
  const waits = waitsFor === null || state === 'completing' ? '' : ` (waits for ${waitsFor})`;
  return `group ${group} ${state}: ${vms.join('; ')}${waits}`;
}

export function exitStatusOfGroup({ state, error }: GroupMigrationView): ExitStatus {
  if (state === 'completed') return 0;
  if (state === 'cancelled') return 130;
  const code = error?.code;
  return code !== undefined && Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].exitStatus : 1;
}

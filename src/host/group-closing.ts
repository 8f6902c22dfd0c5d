/**
 * The end of a daemon while a group moves.
 *
 * Must hold: a group of which nothing has moved is put back; a divided one is waited for only as long as it comes together by
 * itself, and is never told as failed: its VMs run on, and the next daemon goes on with it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { explain } from '../base/errors.ts';
import type { GroupMigration } from './group-migration.ts';
import type { LeavingGroupFiles } from './leaving-group.ts';
import type { Logger } from './logger.ts';

export interface RunningGroup {
  readonly migration: GroupMigration;
  readonly files: Pick<LeavingGroupFiles, 'flush'>;
  /** Resolves when its end is stored and told, or the next daemon goes on with it. */
  readonly finished: Promise<void>;
}

/** How often it is looked whether a group still moves by itself. */
const LOOK_EVERY_MS = 100;

/** @param timeoutMs - no longer than that */
export async function closeGroup(
  { migration, files, finished }: RunningGroup,
  timeoutMs: number,
  log: Pick<Logger, 'info'>,
): Promise<void> {
  const untilMs = Date.now() + timeoutMs;
  if (!migration.isSplit) {
    // Threads answer it, and one that does not is waited for no longer than all.
    void migration.cancel().catch((error: unknown) => log.info({ reason: explain(error) }, 'not cancelled'));
  }
  while (!migration.hasEnded && !migration.isHeldUp && Date.now() < untilMs) {
    await Promise.race([finished, delay(LOOK_EVERY_MS, undefined, { ref: false })]);
  }
  if (migration.hasEnded) return await finished;
  migration.halt();
  files.flush();
  const { id, group, to, waitsFor, members } = migration.view;
  const there = members.filter(({ state }) => state === 'moved').map(({ vm }) => vm);
  const how = migration.isSplit ? 'stays divided between two hosts' : 'has not been put back in time';
  log.info(
    { group, migration: id, to, there, waitsFor },
    `a group ${how}; its VMs run on, and the next daemon goes on with it`,
  );
}

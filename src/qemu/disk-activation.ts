/**
 * Disks of a VM that stands still made active again: open for writing, with their locks.
 *
 * A QEMU that has loaded a VM leaves its disks inactive until `cont`, and so does one that has saved it. One that is older than
 * 10.0 aborts when it is to make them inactive a second time, which is what its next save does: the VM is lost. Must hold: the guest
 * runs no instruction for it, nothing is left in QEMU, and disks that are active stay so.
 */
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asGodwitError, GodwitError, hasCode } from '../base/errors.ts';
import { ownerOf, type ProcessOwner } from '../linux/process.ts';
import type { QueryBlockEntry } from './disk-facts.ts';
import type { QmpClient } from './qmp.ts';
import { queryRunState } from './run-state.ts';

/** The first that has a command for it. */
const VERSION_WITH_COMMAND = 10;
const EXPORT_ID = 'godwit-activation';

/**
 * Nothing to do for a VM that runs: its disks are active.
 *
 * @param pid - of the QEMU that is asked
 * @throws GW_QEMU_STATE when a disk that the guest has stays, or may stay, inactive
 */
export async function activateDisks(qmp: QmpClient, pid: number): Promise<void> {
  if ((await queryRunState(qmp)).running) return;
  if (Number.parseInt(qmp.qemuVersion, 10) >= VERSION_WITH_COMMAND) {
    await activate(() => qmp.execute('blockdev-set-active', { active: true }));
    return;
  }
  const blocks = await qmp.execute<QueryBlockEntry[]>('query-block');
  const ofGuest = new Set(blocks.flatMap(({ inserted }) => inserted?.['node-name'] ?? []));
  const named = await qmp.execute<{ 'node-name': string }[]>('query-named-block-nodes', { flat: true });
  if (named.length === 0) return;
  await withServer(qmp, ownerOf(pid), async () => {
    for (const { 'node-name': node } of named) {
      const made = activate(() => touch(qmp, node));
      // Of what lies below a disk the export can be refused; it has been made active by then, and with the disk.
      await (ofGuest.has(node) ? made : made.catch(() => undefined));
    }
  });
}

/** An export is of a node that is active (block/export/export.c, blk_exp_add): QEMU makes it so. */
async function touch(qmp: QmpClient, node: string): Promise<void> {
  const of = { id: EXPORT_ID, 'node-name': node, name: EXPORT_ID };
  await qmp.execute('block-export-add', { ...of, type: 'nbd', writable: false });
  await qmp.execute('block-export-del', { id: EXPORT_ID, mode: 'hard' });
}

/** At a socket that only QEMU's user can reach, or that of a server which the VM's user has started. */
async function withServer(qmp: QmpClient, owner: ProcessOwner, act: () => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-disks-'));
  try {
    chownSync(directory, owner.uid, owner.gid);
    const isOurs = await startServer(qmp, join(directory, 'nbd.sock'));
    try {
      await act();
    } finally {
      if (isOurs) await qmp.execute('nbd-server-stop');
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns whether it is a new one */
async function startServer(qmp: QmpClient, path: string): Promise<boolean> {
  try {
    await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } });
    return true;
  } catch (error) {
    if (hasCode(error, 'GW_QMP_ERROR') && asGodwitError(error).message.includes('already running')) return false;
    throw error;
  }
}

async function activate(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (cause) {
    if (!hasCode(cause, 'GW_QMP_ERROR')) throw cause;
    const reason = `its disks cannot be made active (${asGodwitError(cause).message}); resume the VM before it moves again`;
    throw new GodwitError('GW_QEMU_STATE', { action: 'save', reason }, { cause });
  }
}

/**
 * A QEMU of which no record tells: its daemon died between its start and the record.
 *
 * Must hold: nothing of it stays, whether it has got as far as its QMP socket, which is asked to quit, or not: then there
 * is no place for the socket any more, and it ends by itself.
 */
import { existsSync, rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { vmPaths } from './vm-record.ts';

const LEFT_QEMU_TIMEOUT_MS = 2000;

export async function removeLeftInstance(stateDirectory: string, vm: string, instance: string): Promise<void> {
  const { directory, qmp, ram } = vmPaths(stateDirectory, vm, instance);
  if (existsSync(qmp)) await quit(qmp);
  rmSync(directory, { recursive: true, force: true });
  rmSync(ram, { force: true });
  removeIfEmpty(dirname(directory));
}

async function quit(path: string): Promise<void> {
  try {
    using qmp = await QmpClient.connect(path, { timeoutMs: LEFT_QEMU_TIMEOUT_MS });
    await qmp.execute('quit', undefined, { timeoutMs: LEFT_QEMU_TIMEOUT_MS });
  } catch (error) {
    // It has ended by itself, or ends before it answers.
    if (!(error instanceof GodwitError)) throw error;
  }
}

/** What a VM has left here from earlier times stays. */
export function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

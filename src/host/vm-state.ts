/**
 * What QEMU says of a VM's state and end, in this project's words.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VmEnd, VmState } from '../api/vm-schema.ts';

/** QEMU's own SHUTDOWN event. */
export interface Shutdown {
  readonly guest: boolean;
  readonly reason: string;
}

/** QEMU's RunState (qapi/run-state.json) in this project's words. */
export function stateOfStatus(status: string): VmState {
  switch (status) {
    case 'running':
      return 'running';
    case 'shutdown':
      return 'stopped';
    case 'guest-panicked':
    case 'internal-error':
    case 'io-error':
      return 'crashed';
    case 'inmigrate':
      return 'arriving';
    default:
      return 'paused';
  }
}

export function stateOfEnd(end: Pick<VmEnd, 'how'>): VmState {
  return end.how === 'crashed' || end.how === 'lost' ? 'crashed' : 'stopped';
}

/**
 * How QEMU came to its end.
 *
 * @param asked - what a user had asked for
 * @param shutdown - what QEMU said before it went
 * @param directory - where its log is
 */
export function explainEnd(
  asked: 'stopped' | 'killed' | null,
  shutdown: Shutdown | null,
  directory: string,
): Pick<VmEnd, 'how' | 'reason'> {
  if (asked === 'killed') return { how: 'killed', reason: 'ended by kill' };
  if (asked === 'stopped') {
    const reason = shutdown?.guest === true ? 'the guest powered down when asked' : 'QEMU was told to quit';
    return { how: 'stopped', reason };
  }
  if (shutdown?.guest === true) return { how: 'guest', reason: `the guest ended itself (${shutdown.reason})` };
  if (shutdown) return { how: 'stopped', reason: `QEMU was told to quit by somebody else (${shutdown.reason})` };
  const words = lastLines(join(directory, 'qemu.log'));
  return { how: 'crashed', reason: words === '' ? 'QEMU ended without a word' : `QEMU ended; it said: ${words}` };
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-5).join('; ').slice(-500);
  } catch {
    return ''; // an adopted VM has no log here
  }
}

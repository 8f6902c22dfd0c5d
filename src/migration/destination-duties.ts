/**
 * What the destination must do once the VM is its own.
 *
 * Must hold: there is no way back, so it is tried until it succeeds or QEMU has ended, which is told by an event of its own.
 */
import { asGodwitError, type ErrorCode, type GodwitError } from '../base/errors.ts';
import { waitForExit } from '../linux/process.ts';
import type { DestinationLoading } from './destination-loading.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { DestinationRecord } from './handover.ts';
import { insist } from './insist.ts';
import type { DestinationPhase } from './progress.ts';

const OWNING: ReadonlySet<DestinationPhase> = new Set(['resuming', 'pagingIn', 'done', 'lost']);
const QEMU_ENDED: ReadonlySet<ErrorCode> = new Set(['GW_QMP_CLOSED', 'GW_SYS_PROCESS_GONE', 'GW_QEMU_GONE']);

/** @throws what the disk says, while the VM is not ours: the migration can still fail */
export async function writeRecord(
  { journal, note }: DestinationParts,
  phase: DestinationPhase,
  record: DestinationRecord,
): Promise<void> {
  if (OWNING.has(phase)) await insist(() => journal.append(record), { what: 'Writing the journal', note });
  else journal.append(record);
}

/** QEMU closes its connections before it is gone. */
const ENDING_MS = 1000;

/**
 * @param resumed - gets when the VM ran, Unix milliseconds; not called when its QEMU has ended
 * @throws GW_QMP_CLOSED when QEMU lives: another thread must resume the VM, over another connection
 */
export async function resumeOwned(
  { note }: DestinationParts,
  loading: Pick<DestinationLoading, 'resume' | 'requireGuest'>,
  resumed: (atMs: number) => Promise<void>,
): Promise<void> {
  const isHopeless = ({ code }: GodwitError): boolean => QEMU_ENDED.has(code);
  let resumedAtMs: number;
  try {
    resumedAtMs = await insist(() => loading.resume(), { what: 'Resuming the VM', note, isHopeless });
  } catch (error) {
    const { identity } = loading.requireGuest();
    if (isHopeless(asGodwitError(error)) && (await waitForExit(identity, { timeoutMs: ENDING_MS }))) return;
    throw error;
  }
  await resumed(resumedAtMs);
}

/**
 * What the destination owes the source, and what it must do once the VM is its own.
 *
 * Must hold: once it is, there is no way back, so it is tried until it succeeds or QEMU has ended, which is told by an event of its own.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, type ErrorCode, type GodwitError } from '../base/errors.ts';
import { isEnding } from '../qemu/process.ts';
import type { Message } from '../wire/messages.ts';
import type { DestinationLoading } from './destination-loading.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { DestinationRecord } from './handover.ts';
import { insist } from './insist.ts';
import type { DestinationPhase } from './progress.ts';

const OWNING: ReadonlySet<DestinationPhase> = new Set(['resuming', 'pagingIn', 'done', 'lost']);
const QEMU_ENDED: ReadonlySet<ErrorCode> = new Set(['GW_QMP_CLOSED', 'GW_SYS_PROCESS_GONE', 'GW_QEMU_GONE']);
/** The guest has run and has ended; its QEMU is there. */
const GUEST_ENDED: ErrorCode = 'GW_QEMU_STATE';

/** @throws what the disk says, while the VM is not ours: the migration can still fail */
export async function writeRecord(
  { disks, journal, note }: DestinationParts,
  phase: DestinationPhase,
  record: DestinationRecord,
): Promise<void> {
  // Before it is: a record may be there that was said to have failed.
  if (record.kind === 'owner') disks.keep();
  if (OWNING.has(phase)) await insist(() => journal.append(record), { what: 'Writing the journal', note });
  else journal.append(record);
}

/**
 * @param resumed - gets when the VM ran, Unix milliseconds; not called when its QEMU has ended
 * @throws GW_QMP_CLOSED when QEMU lives: another thread must resume the VM, over another connection; and what ends this thread
 *   meanwhile, because the VM may be waiting for what it does no more
 */
export async function resumeOwned(
  { events, note }: DestinationParts,
  loading: Pick<DestinationLoading, 'resume' | 'requireGuest'>,
  resumed: (atMs: number) => Promise<void>,
): Promise<void> {
  const isHopeless = ({ code }: GodwitError): boolean => QEMU_ENDED.has(code) || code === GUEST_ENDED;
  const resuming = insist(() => loading.resume(), { what: 'Resuming the VM', note, isHopeless });
  let resumedAtMs: number;
  try {
    resumedAtMs = await Promise.race([resuming, events.closed]);
  } catch (thrown) {
    const error = asGodwitError(thrown);
    if (QEMU_ENDED.has(error.code) && (await isEnding(loading.requireGuest().identity))) return;
    if (error.code !== GUEST_ENDED) throw error;
    resumedAtMs = SYSTEM_CLOCK.wallMs();
  }
  await resumed(resumedAtMs);
}

/** Everything before it is in place; once pages will be missing, their faults are answered too. */
export async function acknowledgeRound(
  { arrivals, link, receiver, report }: DestinationParts,
  { round, frames }: Message<'roundEnd'>,
): Promise<void> {
  await receiver.settle(frames);
  const waitedMs = await arrivals.settleAwaited();
  link.sendMissed(arrivals.takeMissed());
  link.send({ kind: 'roundAck', round, ...(waitedMs > 0 ? { waitedMs } : {}) });
  report.tellSometimes();
}

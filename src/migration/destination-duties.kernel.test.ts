import { expect, test } from 'vitest';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess, type ProcessIdentity } from '../linux/process.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import { resumeOwned } from './destination-duties.ts';
import type { DestinationLoading } from './destination-loading.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { DestinationEvent } from './handover-destination-state.ts';

const ALIVE = identifyProcess(process.pid)!;
const ENDED: ProcessIdentity = { pid: ALIVE.pid, startTicks: ALIVE.startTicks - 1 };
const QMP_CLOSED = new GodwitError('GW_QMP_CLOSED', { path: '/x/qmp.sock' });
const GUEST_ENDED = new GodwitError('GW_QEMU_STATE', { action: 'continue with', reason: 'shutdown' });

interface Case {
  readonly identity: ProcessIdentity;
  resume(): Promise<{ resumedAtMs: number }>;
}

/** When the VM was said to run; undefined: it was not. */
async function resume({ identity, ...loading }: Case, events: Mailbox<DestinationEvent>): Promise<number | undefined> {
  let toldMs: number | undefined;
  const parts = { events, note: () => undefined } as unknown as DestinationParts;
  const guest = { requireGuest: () => ({ identity }), ...loading } as unknown as DestinationLoading;
  await resumeOwned(parts, guest, async (atMs) => {
    toldMs = atMs;
  });
  return toldMs;
}

const never = new Promise<never>(() => undefined);

test('a VM whose QEMU has ended is not said to run', async () => {
  const gone = { identity: ENDED, resume: () => Promise.reject(QMP_CLOSED) };
  expect(await resume(gone, new Mailbox())).toBeUndefined();
});

test('one whose QEMU lives and is not heard any more is for another thread to resume', async () => {
  const unheard = { identity: ALIVE, resume: () => Promise.reject(QMP_CLOSED) };
  await expect(resume(unheard, new Mailbox())).rejects.toBe(QMP_CLOSED);
});

test('one whose guest has ended by itself has run', async () => {
  const ended = { identity: ALIVE, resume: () => Promise.reject(GUEST_ENDED) };
  expect(await resume(ended, new Mailbox())).toBeGreaterThan(0);
});

test('what ends the thread is not held up by a QEMU that waits for it', async () => {
  const events = new Mailbox<DestinationEvent>();
  const waiting = resume({ identity: ALIVE, resume: () => never }, events);
  const reason = new GodwitError('GW_INTERNAL', { reason: 'the fault service died' });
  events.close(reason);
  await expect(waiting).rejects.toBe(reason);
});

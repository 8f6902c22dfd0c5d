import { expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import { stepped } from './handover.ts';
import { stepSource } from './handover-source.ts';
import type { SourceEvent, SourceState, SourceStep } from './handover-source-state.ts';
import { SourceCommands } from './source-commands.ts';
import type { SourceParts } from './source-parts.ts';

const IDENTITY = { migration: 'm', vm: 'web1', epoch: 2, peer: 'b' };
const STOPPING: SourceState = {
  ...IDENTITY,
  phase: 'stopping',
  connected: true,
  wasRunning: true,
  pagesMissing: false,
};

function open(state: () => SourceState): { commands: SourceCommands; events: Mailbox<SourceEvent> } {
  const events = new Mailbox<SourceEvent>();
  const parts = {
    events,
    beforeCommit: new AbortController(),
    facts: { id: 'm', vm: { name: 'web1' } },
    phase: () => state().phase,
    options: () => ({ mode: 'auto' }),
  } as unknown as SourceParts;
  return { commands: new SourceCommands(parts, () => undefined), events };
}

test.each<[string, SourceEvent[], string | null]>([
  ['nothing', [], null],
  [
    'that the destination has loaded the VM',
    [{ kind: 'received', message: { kind: 'loaded' } }],
    'GW_MIGRATION_TOO_LATE',
  ],
  [
    'that it has failed',
    [{ kind: 'failed', error: { code: 'GW_QMP_ERROR', message: 'no', details: {} } }],
    'GW_CONFLICT',
  ],
])('a cancel behind %s', async (_, before, code) => {
  let state: SourceState = STOPPING;
  const { commands, events } = open(() => state);
  for (const event of before) events.post(event);
  const answer = commands.take({ kind: 'cancel' }).then(
    () => null,
    (error: unknown) => error,
  );
  for (const _event of [...before, 'the cancel']) {
    const event = await events.take();
    const step: SourceStep = stepSource(state, event);
    if (event.kind === 'cancelled') commands.cancelled(step);
    if (step.kind !== 'refused') state = step.state;
  }
  expect(await answer).toSatisfy((error) => (code === null ? error === null : hasCode(error, code as never)));
});

test.each([
  ['auto', true, 'asked'],
  ['auto', false, 'pause'],
  ['pre-copy', true, 'pause'],
] as const)('a call of its group (mode %s, post-copy %s) cuts the copying short, and nothing gives way any more', async (mode, canPostCopy, how) => {
  const told: unknown[] = [];
  const parts = {
    phase: () => 'copying',
    options: () => ({ mode }),
    link: { has: () => canPostCopy },
    packing: { channels: { become: (role: string) => told.push(role) } },
    copying: { interrupt: (...interruption: unknown[]) => told.push(...interruption) },
  } as unknown as SourceParts;
  await new SourceCommands(parts, () => undefined).take({ kind: 'hurry' });
  expect(told).toEqual(['urgent', how, true]);
});

test('a cancel that nobody asked for has no answer', () => {
  expect(() => open(() => STOPPING).commands.cancelled(stepped(STOPPING))).not.toThrow();
});

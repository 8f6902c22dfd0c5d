import { describe, expect, test } from 'vitest';
import type { DestinationFacts } from './destination-facts.ts';
import type { JournalLine } from './journal.ts';
import { destinationRecovery, lastDestinationState, sourceRecovery, stayOf } from './journal-facts.ts';

const UUID = '7b3e6d0a-0000-4000-8000-000000000001';
const ERROR = { code: 'GW_INTERNAL', message: 'it broke', details: {} } as const;
const IDENTITY = { migration: 'm1', vm: 'web1', epoch: 2, peer: 'b:7701' };

function outgoing(epoch: number, ...more: JournalLine[]): JournalLine[] {
  return outgoingAt(0, epoch, ...more);
}

function outgoingAt(startedAt: number, epoch: number, ...more: JournalLine[]): JournalLine[] {
  const vm = { name: 'web1', uuid: UUID, epoch };
  return [
    { side: 'facts', vm, startedAt },
    { side: 'source', kind: 'offered', ...IDENTITY, epoch: epoch + 1 },
    ...more,
  ];
}

function incoming(epoch: number, ...more: JournalLine[]): JournalLine[] {
  return [
    { side: 'facts', facts: {} as DestinationFacts },
    { side: 'destination', kind: 'accepted', ...IDENTITY, epoch },
    { side: 'facts', record: { name: 'web1', uuid: UUID, epoch } },
    ...more,
  ];
}

function stays(...journals: JournalLine[][]) {
  return journals.flatMap((lines) => stayOf(lines) ?? []);
}

const STOPPING = { side: 'source', kind: 'stopping', wasRunning: true, pagesMissing: false } as const;
const ROLLED_BACK = { side: 'source', kind: 'rolledBack', cancelled: false, error: ERROR } as const;
const COMMITTED = { side: 'source', kind: 'committed', epoch: 2 } as const;
const OWNER = { side: 'destination', kind: 'owner', epoch: 2 } as const;
const COMPLETE = { side: 'destination', kind: 'complete' } as const;

describe('an outgoing migration that a restart finds', () => {
  test.each([
    ['offered', outgoing(1)],
    ['stopping', outgoing(1, STOPPING)],
    ['committed', outgoing(1, STOPPING, COMMITTED)],
  ])('has the VM after %s', (_, lines) => {
    expect(sourceRecovery(lines)?.hasVm).toBe(true);
  });

  test('has the VM no more once it was taken back', () => {
    expect(sourceRecovery(outgoing(1, STOPPING, ROLLED_BACK))?.hasVm).toBe(false);
  });

  test('has nothing to do with a VM that has come back since', () => {
    const lines = outgoing(1, STOPPING, COMMITTED);
    expect(sourceRecovery(lines, stays(incoming(3, { ...OWNER, epoch: 3 })))?.hasVm).toBe(false);
    // It was offered, but never became this host's.
    expect(sourceRecovery(lines, stays(incoming(3)))?.hasVm).toBe(true);
  });

  test.each([
    ['is under way', [STOPPING, COMMITTED]],
    ['has ended', [STOPPING, { side: 'source', kind: 'ended', outcome: 'cancelled' } as const]],
  ])('has nothing to do with a VM that its user has moved again since, whether that %s', (_, later) => {
    const earlier = outgoingAt(1000, 1, STOPPING);
    const moved = outgoingAt(2000, 1, ...later);
    expect(sourceRecovery(earlier, stays(moved))?.hasVm).toBe(false);
    expect(sourceRecovery(outgoingAt(2000, 1, STOPPING), stays(earlier))?.hasVm).toBe(true);
  });

  test('has it beside an earlier one of the same epoch that failed', () => {
    expect(sourceRecovery(outgoing(1, STOPPING), stays(outgoing(1, STOPPING, ROLLED_BACK)))?.hasVm).toBe(true);
  });
});

describe('an incoming migration that a restart finds', () => {
  test('has the VM until a migration away from here begins', () => {
    const lines = incoming(2, OWNER, COMPLETE);
    expect(destinationRecovery(lines)?.hasVm).toBe(true);
    expect(destinationRecovery(lines, stays(outgoing(1, STOPPING, COMMITTED)))?.hasVm).toBe(true);
    expect(destinationRecovery(lines, stays(outgoing(2)))?.hasVm).toBe(false);
  });
});

test('an incoming migration tells how it has ended, once it has', () => {
  expect(lastDestinationState(incoming(2, OWNER, COMPLETE))).toBeUndefined();
  const lost = { side: 'destination', kind: 'ended', outcome: 'lost', error: ERROR } as const;
  expect(lastDestinationState(incoming(2, OWNER, lost))).toMatchObject({ phase: 'lost', epoch: 2, error: ERROR });
});

test('a migration that has ended is nothing to go on with', () => {
  expect(sourceRecovery(outgoing(1, { side: 'source', kind: 'ended', outcome: 'failed' }))).toBeUndefined();
});

describe("QEMU's settings that a migration has borrowed", () => {
  const settings = { capabilities: [{ capability: 'events', state: false }], maxBandwidth: 1 };

  test('are found in the journal as they were', () => {
    expect(sourceRecovery(outgoing(1, { side: 'facts', settings }, STOPPING))?.settings).toEqual(settings);
    expect(destinationRecovery(incoming(2, { side: 'facts', settings }, OWNER))?.settings).toEqual(settings);
  });

  test("are nobody else's to put back once that was done", () => {
    const lines = incoming(2, { side: 'facts', settings }, OWNER, { side: 'facts', settings: null }, COMPLETE);
    expect(destinationRecovery(lines)?.settings).toBeNull();
  });

  test('are unknown where the journal is older than the fact', () => {
    expect(sourceRecovery(outgoing(1, STOPPING))?.settings).toBeNull();
    expect(destinationRecovery(incoming(2, OWNER))?.settings).toBeNull();
  });
});

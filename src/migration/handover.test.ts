import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withLarger } from '../../test/support/further-cases.ts';
import { type Budget, explore, type Scenario } from '../../test/support/handover-model.ts';
import { renderPhases, renderSteps } from '../../test/support/handover-table.ts';
import type { DestinationRecord, SourceEffect, SourceRecord } from './handover.ts';
import { stepDestination } from './handover-destination.ts';
import { recoverDestination } from './handover-destination-recovery.ts';
import { startSource, stepSource } from './handover-source.ts';
import { recoverSource } from './handover-source-recovery.ts';
import { advance, DESTINATION_PHASES, SOURCE_PHASES } from './phases.ts';

const NO_FAULTS: Budget = {
  cuts: 0,
  sourceCrashes: 0,
  destinationCrashes: 0,
  cancels: 0,
  guestLosses: 0,
  memoryLosses: 0,
  userPauses: 0,
};
const VMS = [
  { wasRunning: true, pagesMissing: false },
  { wasRunning: true, pagesMissing: true },
  { wasRunning: false, pagesMissing: false },
  { wasRunning: false, pagesMissing: true },
];
const EXPLORED = withLarger([VMS[2]!], [VMS[0]!, VMS[1]!, VMS[3]!]);
const IDENTITY = { migration: 'm1', vm: 'web1', epoch: 2, peer: 'b:7701' };
const ERROR = { code: 'GW_INTERNAL', message: 'it broke', details: {} } as const;

function run(vm: (typeof VMS)[number], budget: Partial<Budget>, broken: Partial<Scenario> = {}) {
  return explore({ ...vm, budget: { ...NO_FAULTS, ...budget }, stepSource, stepDestination, ...broken });
}

describe('docs/phases.md', () => {
  const page = readFileSync(new URL('../../docs/phases.md', import.meta.url), 'utf8');
  const part = (name: string) => page.split(`<!-- ${name} -->\n`)[1]?.split(`\n<!-- end of ${name} -->`)[0];

  test('shows every phase as the code has it', () => {
    expect(part('phases')).toBe(renderPhases().trimEnd());
  });

  test('shows every event in every state as the code answers it', () => {
    expect(part('steps')).toBe(renderSteps().trimEnd());
  });
});

describe('phases', () => {
  test('a phase that the table does not list next is refused', () => {
    expect(() => advance(SOURCE_PHASES, 'committed', 'failed')).toThrow('Phase committed does not allow');
  });

  test.each([
    'committed',
    'serving',
    'released',
    'lost',
  ] as const)('nothing leads from %s back to the source', (phase) => {
    const owners = SOURCE_PHASES[phase].next.map((next) => SOURCE_PHASES[next].owner);
    expect(owners.filter((owner) => owner === 'source')).toEqual([]);
  });

  test('the guest runs at the destination only where the destination owns it', () => {
    const running = Object.values(DESTINATION_PHASES).filter(({ guestMayRun }) => guestMayRun);
    expect(new Set(running.map(({ owner }) => owner))).toEqual(new Set(['destination']));
  });
});

describe('every order of events and faults', () => {
  test.each(EXPLORED)('one cut, one crash of each side and a cancel never break a rule (%o)', (vm) => {
    const result = run(vm, { cuts: 1, sourceCrashes: 1, destinationCrashes: 1, cancels: 1 });
    expect(result.violation).toBeNull();
    expect(result.states).toBeGreaterThan(10_000);
  });

  test.each(EXPLORED)('two cuts and two crashes of one side never break a rule (%o)', (vm) => {
    expect(run(vm, { cuts: 2, sourceCrashes: 2 }).violation).toBeNull();
    expect(run(vm, { cuts: 2, destinationCrashes: 2 }).violation).toBeNull();
  });

  test.each(EXPLORED)('the end of the destination QEMU is told to the source (%o)', (vm) => {
    expect(run(vm, { guestLosses: 1, cuts: 1, destinationCrashes: 1, sourceCrashes: 1 }).violation).toBeNull();
  });

  test.each(EXPLORED)('the end of the source QEMU after the commit is told to the destination (%o)', (vm) => {
    expect(run(vm, { memoryLosses: 1, cuts: 1, destinationCrashes: 1, sourceCrashes: 1 }).violation).toBeNull();
  });

  test.each(EXPLORED)('a VM that its user paused at the destination stays paused (%o)', (vm) => {
    expect(run(vm, { userPauses: 1, destinationCrashes: 1, sourceCrashes: 1, cuts: 1 }).violation).toBeNull();
  });

  test('without faults it ends in a refusal or in a completed migration', () => {
    const ends = run(VMS[1]!, {}).terminals.map(({ source }) => source.outcome);
    expect(new Set(ends)).toEqual(new Set(['refused', 'completed']));
  });
});

describe('the model finds what is broken', () => {
  test('a destination that takes the VM when the connection is lost', () => {
    const result = run(
      VMS[0]!,
      { cuts: 1 },
      {
        stepDestination: (state, event) =>
          state.phase === 'loaded' && event.kind === 'connectionLost'
            ? stepDestination(state, { kind: 'received', message: { kind: 'commit', epoch: state.epoch } })
            : stepDestination(state, event),
      },
    );
    expect(result.violation?.rule).toBe('the destination runs before it owns');
  });

  test('a destination that cleans up by itself after it said loaded', () => {
    const result = run(
      VMS[0]!,
      { cuts: 1 },
      {
        stepDestination: (state, event) =>
          state.phase === 'loaded' && event.kind === 'connectionLost'
            ? stepDestination(state, { kind: 'received', message: { kind: 'abort', cancelled: false, error: ERROR } })
            : stepDestination(state, event),
      },
    );
    expect(result.violation?.rule).toBe('no VM after the commit');
  });

  test('a source that sends commit before the record is written', () => {
    const result = run(
      VMS[0]!,
      { sourceCrashes: 1 },
      {
        stepSource: (state, event) => {
          const step = stepSource(state, event);
          const swap = step.kind === 'stepped' && step.effects.some(isCommitted);
          return swap ? { ...step, effects: step.effects.toReversed() } : step;
        },
      },
    );
    expect(result.violation).not.toBeNull();
  });

  test('a source that takes the VM back when the connection is lost after the commit', () => {
    const result = run(
      VMS[0]!,
      { cuts: 1 },
      {
        stepSource: (state, event) =>
          state.phase === 'committed' && event.kind === 'connectionLost'
            ? { kind: 'stepped', state, effects: [{ kind: 'rollBack', resume: true }] }
            : stepSource(state, event),
      },
    );
    expect(['the source runs after the commit', 'two guests run']).toContain(result.violation?.rule);
  });

  test('a source that does not dial again to deliver the abort', () => {
    const result = run(
      VMS[0]!,
      { cuts: 1, destinationCrashes: 1 },
      {
        stepSource: (state, event) => {
          const step = stepSource(state, event);
          if (step.kind === 'refused' || step.state.phase !== 'failed') return step;
          return { ...step, effects: step.effects.filter(({ kind }) => kind !== 'redial') };
        },
      },
    );
    expect(result.violation?.rule).toBe('ends with something left at the destination');
  });

  test('a source that frees its memory on resumed', () => {
    const result = run(
      VMS[1]!,
      {},
      {
        stepSource: (state, event) =>
          event.kind === 'received' && event.message.kind === 'resumed'
            ? stepSource(state, { kind: 'received', message: { kind: 'allPresent' } })
            : stepSource(state, event),
      },
    );
    expect(result.violation?.rule).toBe('the source freed pages that are missing');
  });

  test('a source that keeps what is left of a lost VM', () => {
    const result = run(
      VMS[1]!,
      { guestLosses: 1 },
      {
        stepSource: (state, event) => {
          const step = stepSource(state, event);
          if (step.kind === 'refused' || step.state.phase !== 'lost') return step;
          return { ...step, effects: step.effects.filter(({ kind }) => kind !== 'discardGuest') };
        },
      },
    );
    expect(result.violation?.rule).toBe('ends with something left at the source');
  });

  test('a source that frees what is left of a VM before the destination has given it up', () => {
    const result = run(
      VMS[1]!,
      { memoryLosses: 1 },
      {
        stepSource: (state, event) => {
          const step = stepSource(state, event);
          if (event.kind !== 'guestLost' || step.kind === 'refused') return step;
          return { ...step, effects: [...step.effects, { kind: 'discardGuest' }] };
        },
      },
    );
    expect(result.violation?.rule).toBe('the source freed pages that are missing');
  });
});

describe('recovery', () => {
  const offered: SourceRecord = { side: 'source', kind: 'offered', ...IDENTITY };
  const stopping: SourceRecord = { side: 'source', kind: 'stopping', wasRunning: true, pagesMissing: true };
  const committed: SourceRecord = { side: 'source', kind: 'committed', epoch: 2 };
  const accepted: DestinationRecord = { side: 'destination', kind: 'accepted', ...IDENTITY };
  const prepared: DestinationRecord = { side: 'destination', kind: 'prepared', wasRunning: true, pagesMissing: true };
  const owner: DestinationRecord = { side: 'destination', kind: 'owner', epoch: 2 };
  const resumed: DestinationRecord = { side: 'destination', kind: 'resumed', resumedAtMs: 5 };

  test.each<[string, SourceRecord[], string, SourceEffect['kind'][]]>([
    ['offered', [offered], 'failed', ['rollBack', 'writeJournal', 'finish']],
    ['stopping', [offered, stopping], 'failed', ['rollBack', 'writeJournal', 'redial', 'finish']],
    ['committed', [offered, stopping, committed], 'committed', ['servePages', 'redial']],
    [
      'released',
      [offered, stopping, committed, { side: 'source', kind: 'released' }],
      'released',
      ['discardGuest', 'writeJournal', 'finish'],
    ],
    [
      'rolledBack',
      [offered, stopping, { side: 'source', kind: 'rolledBack', cancelled: true, error: ERROR }],
      'cancelled',
      ['redial', 'finish'],
    ],
    ['lost', [offered, stopping, committed, { side: 'source', kind: 'lost', error: ERROR }], 'lost', ['redial']],
  ])('source after %s', (_, records, phase, effects) => {
    const recovered = recoverSource(records);
    expect(recovered?.state.phase).toBe(phase);
    expect(recovered?.effects.map(({ kind }) => kind)).toEqual(effects);
  });

  test('source without open records has nothing to do', () => {
    expect(recoverSource([])).toBeUndefined();
    expect(recoverSource([offered, { side: 'source', kind: 'ended', outcome: 'failed' }])).toBeUndefined();
  });

  test.each<[string, DestinationRecord[], string, string[]]>([
    ['accepted', [accepted], 'failed', ['discardGuest', 'writeJournal', 'finish']],
    ['prepared', [accepted, prepared], 'loaded', []],
    ['owner', [accepted, prepared, owner], 'resuming', ['pageIn', 'resumeGuest']],
    ['resumed', [accepted, prepared, owner, resumed], 'pagingIn', ['pageIn']],
    ['complete', [accepted, prepared, owner, resumed, { side: 'destination', kind: 'complete' }], 'done', ['finish']],
    [
      'ended completed',
      [accepted, prepared, owner, resumed, { side: 'destination', kind: 'ended', outcome: 'completed', error: null }],
      'done',
      [],
    ],
    [
      'ended refused',
      [accepted, { side: 'destination', kind: 'ended', outcome: 'refused', error: ERROR }],
      'failed',
      [],
    ],
    [
      'ended cancelled',
      [accepted, { side: 'destination', kind: 'ended', outcome: 'cancelled', error: null }],
      'cancelled',
      [],
    ],
  ])('destination after %s', (_, records, phase, effects) => {
    const recovered = recoverDestination(records);
    expect(recovered?.state.phase).toBe(phase);
    expect(recovered?.effects.map(({ kind }) => kind)).toEqual(effects);
  });

  test('destination without records knows nothing', () => {
    expect(recoverDestination([])).toBeUndefined();
  });
});

test('no sequence of events makes the source both commit and resume', () => {
  const events = fc.constantFrom(
    { kind: 'received', message: { kind: 'ready' } } as const,
    { kind: 'received', message: { kind: 'loaded' } } as const,
    { kind: 'received', message: { kind: 'aborted' } } as const,
    { kind: 'received', message: { kind: 'resumed', resumedAtMs: 1 } } as const,
    { kind: 'received', message: { kind: 'allPresent' } } as const,
    { kind: 'received', message: { kind: 'failed', owned: true, error: ERROR } } as const,
    { kind: 'received', message: { kind: 'unknown' } } as const,
    { kind: 'switchoverDecided', wasRunning: true, pagesMissing: true } as const,
    { kind: 'cancelled' } as const,
    { kind: 'failed', error: ERROR } as const,
    { kind: 'guestLost', error: ERROR } as const,
    { kind: 'connectionLost', error: ERROR } as const,
    { kind: 'connected' } as const,
  );
  fc.assert(
    fc.property(fc.array(events, { maxLength: 40 }), (sequence) => {
      let { state } = startSource(IDENTITY);
      const effects: SourceEffect[] = [];
      for (const event of sequence) {
        const step = stepSource(state, event);
        if (step.kind === 'refused') continue;
        state = step.state;
        effects.push(...step.effects);
      }
      const resumes = effects.some((effect) => effect.kind === 'rollBack' && effect.resume);
      expect(resumes && effects.some(isCommitted)).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

function isCommitted(effect: SourceEffect): boolean {
  return effect.kind === 'writeJournal' && effect.record.kind === 'committed';
}

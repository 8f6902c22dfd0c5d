/** Both steps of a shared region together: every order of events of a small group, and what breaks when a part is missing. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withLarger } from '../../test/support/further-cases.ts';
import {
  type FileStep,
  openSharingSpace,
  type SharingBudget,
  type SharingScenario,
  SMALL_GROUP,
  TAKE_AWAY,
} from '../../test/support/sharing-model.ts';
import { visitSpace, walkSpace } from '../../test/support/state-space.ts';
import { stepDestinationRegion } from './region-destination.ts';
import { stepSourceRegion } from './region-source.ts';
import type { RegionStep } from './region-words.ts';

type Changes = Partial<Omit<SharingScenario, 'budget'>> & { readonly budget?: Partial<SharingBudget> };
type StepSource = SharingScenario['stepSource'];
type StepDestination = SharingScenario['stepDestination'];

describe('every order of events of VMs at the source and one at the destination', () => {
  const USUAL: [string, number, Changes][] = [
    ['migrations of VMs that were stopped fail', 23_000, { pages: 1, budget: { failedMigrations: 2 } }],
    ['marks of write protection stay behind', 29_000, { pages: 1, leavesMarks: true, budget: { cuts: 1 } }],
  ];
  const LARGER: [string, number, Changes][] = [
    [
      'a stop should suffice and hangs',
      25_000,
      { pages: 1, canStopInFault: true, stopHangs: true, budget: { cuts: 1 } },
    ],
    ['a page, a stop suffices, two cuts', 18_000, { pages: 1, canStopInFault: true, budget: { cuts: 2 } }],
    ['devices touch pages while a VM is saved and loaded', 28_000, { pages: 1, budget: { deviceAccesses: 2 } }],
    ['a page that is lent, the link is cut twice', 37_000, { pages: 1, budget: { cuts: 2 } }],
    ['two pages that are lent, one under way at a time', 85_000, { windowPages: 1 }],
    ['two pages of one VM, the link is cut', 60_000, { vms: ['a'], budget: { cuts: 1 } }],
    ['a page that is lent, time-outs and a cut', 50_000, { pages: 1, budget: { cuts: 1, timeOuts: 1 } }],
    ['two pages, a stop suffices', 40_000, { canStopInFault: true }],
  ];

  test.each(withLarger(USUAL, LARGER))('%s: no rule is broken', (_, fewestStates, changes) => {
    const visit = explore(changes);
    expect(visit.violation).toBeNull();
    expect(visit.states).toBeGreaterThan(fewestStates);
  });
});

describe('the model finds what is broken', () => {
  const ONE_PAGE: Changes = { pages: 1 };
  const CUT: Changes = { pages: 1, budget: { cuts: 1 } };

  test.each<[string, string, Changes]>([
    [
      'a page that is read before it is write-protected',
      'the latest write is kept nowhere',
      { takeAway: bothSides('read', 'punch', 'wakeAll') },
    ],
    [
      'a page that is write-protected after it was read',
      'the latest write is kept nowhere',
      { takeAway: bothSides('read', 'protect', 'punch', 'wakeAll') },
    ],
    [
      'a page that is punched out before it is read',
      'the latest write is kept nowhere',
      { takeAway: bothSides('protect', 'punch', 'read', 'wakeAll') },
    ],
    [
      'a page that is lent and kept',
      'a page is at both sides',
      { ...ONE_PAGE, takeAway: { source: TAKE_AWAY, destination: ['protect', 'read', 'wakeAll'] } },
    ],
    [
      'a write fault that is answered while its page is being taken away',
      'the latest write is kept nowhere',
      { ...ONE_PAGE, onWriteFault: 'atOnce' },
    ],
    [
      'write faults on marks that stayed behind, and nobody answers them',
      'a VM waits for ever',
      { ...ONE_PAGE, leavesMarks: true, onWriteFault: 'never' },
    ],
    [
      'a page that is acknowledged before it is in place',
      'the latest write is kept nowhere',
      {
        ...ONE_PAGE,
        stepDestination: (region, event) =>
          mapActions(stepDestinationRegion(region, event), (actions) =>
            actions.some(({ kind }) => kind === 'install') ? actions.toReversed() : actions,
          ),
      },
    ],
    [
      'a copy that is forgotten when it is sent',
      'the latest write is kept nowhere',
      {
        ...ONE_PAGE,
        stepSource: (region, event) =>
          mapActions(stepSourceRegion(region, event), (actions) =>
            actions.flatMap((action) =>
              action.kind === 'send' && action.message.kind === 'page'
                ? [action, { kind: 'forget', page: action.message.page }]
                : [action],
            ),
          ),
      },
    ],
    [
      'pages that are not sent again when the link is back',
      'a copy is kept for ever',
      { ...CUT, ...withoutRepeated('page') },
    ],
    [
      'questions that are not asked again when the link is back',
      'a VM waits for ever',
      { ...CUT, ...withoutRepeated('ask') },
    ],
    [
      'a destination that installs a page whatever its turn',
      'a VM can read what is stale',
      {
        ...CUT,
        stepDestination: (region, event) => {
          if (event.kind === 'received' && event.message.kind === 'page') {
            const { page, turn } = event.message;
            const { table } = region;
            if (turn <= table.turns[page]!) {
              if (table.turns[page]! % 2 === 1) table.here--;
              table.leaving.delete(page);
              table.turns[page] = turn - 1;
            }
          }
          return stepDestinationRegion(region, event);
        },
      },
    ],
    [
      'a lent page that goes back before the VM stands',
      'a page is lent more often than VMs are stopped',
      { ...ONE_PAGE, vms: ['a'], stepSource: beforeSource((region) => region.vms[0]!.waitsFor.clear()) },
    ],
    [
      'a VM that touches a page that has gone and is not stopped',
      'a page can never be pushed',
      { ...ONE_PAGE, stepSource: withoutAction('stopVm') },
    ],
    [
      'a VM whose stop waits for a page that nobody lends',
      'a VM waits for ever',
      {
        ...ONE_PAGE,
        canStopInFault: true,
        stopHangs: true,
        stepSource: (region, event) =>
          event.kind === 'vmOverdue' ? { kind: 'stepped', actions: [] } : stepSourceRegion(region, event),
      },
    ],
    [
      'a page that stays for a VM whose state is saved, and is needed to load it',
      'a VM waits for ever',
      { ...ONE_PAGE, budget: { deviceAccesses: 2 }, tellsSaved: false },
    ],
    [
      'a page that is lent to a VM that a stop would have sufficed for',
      'a page is lent where a stop suffices',
      {
        ...ONE_PAGE,
        canStopInFault: true,
        stepSource: beforeSource((region) => {
          for (const vm of region.vms) vm.overdue = true;
        }),
      },
    ],
    [
      'an end that is told while pages are left',
      'the destination refuses: The source said complete while 2 pages are missing',
      {
        vms: ['a'],
        stepSource: (region, event) =>
          mapActions(stepSourceRegion(region, event), (actions) =>
            event.kind === 'vmLeft' ? [{ kind: 'send', message: { kind: 'complete' } }, ...actions] : actions,
          ),
      },
    ],
    [
      'a source that frees its memory when it has told the end',
      'the latest write is kept nowhere',
      {
        ...ONE_PAGE,
        stepSource: (region, event) =>
          mapActions(stepSourceRegion(region, event), (actions) =>
            actions.flatMap((action) =>
              action.kind === 'send' && action.message.kind === 'complete' ? [action, { kind: 'free' }] : [action],
            ),
          ),
      },
    ],
    [
      'an end that is not told again when the link is back',
      'the end is never told',
      {
        ...CUT,
        stepSource: (region, event) => {
          const { completeSaid } = region;
          if (event.kind !== 'linkBack' || !completeSaid) return stepSourceRegion(region, event);
          return mapActions(stepSourceRegion(region, event), (actions) =>
            actions.filter((action) => action.kind !== 'send' || action.message.kind !== 'complete'),
          );
        },
      },
    ],
    [
      'a window that is not kept to',
      'more copies than the window',
      {
        windowPages: 1,
        stepSource: beforeSource((region) => {
          Object.assign(region.table.settings, { windowPages: 2 });
        }),
      },
    ],
    ['copies that nobody acknowledges', 'a copy is kept for ever', { ...ONE_PAGE, stepDestination: silentDestination }],
  ])('%s', (_, rule, changes) => {
    expect(explore(changes).violation?.rule).toBe(rule);
  });
});

describe('random orders of events of larger groups', () => {
  const choices = fc.array(fc.nat(), { minLength: 50, maxLength: 400, size: 'max' });
  const BUDGET: SharingBudget = { cuts: 4, timeOuts: 4, failedMigrations: 2, deviceAccesses: 0 };

  test.each([
    { canStopInFault: false, stopHangs: false },
    { canStopInFault: true, stopHangs: false },
    { canStopInFault: true, stopHangs: true },
  ])('five VMs, eight pages, cuts and failed migrations (%o)', (stopping) => {
    const vms = ['a', 'b', 'd', 'e', 'f'];
    const sizes = { pages: 8, windowPages: 3, pushWindowPages: 2, completeAtPages: 4 };
    const space = openSharingSpace({ ...SMALL_GROUP, ...sizes, ...stopping, vms, leavesMarks: true, budget: BUDGET });
    fc.assert(
      fc.property(choices, (walk) => {
        const violation = walkSpace(space, walk);
        expect(violation && [violation.rule, ...violation.path]).toBeNull();
      }),
      { numRuns: 300 },
    );
  });
});

function explore({ budget, ...changes }: Changes) {
  return visitSpace(openSharingSpace({ ...SMALL_GROUP, ...changes, budget: { ...SMALL_GROUP.budget, ...budget } }));
}

function bothSides(...steps: FileStep[]): SharingScenario['takeAway'] {
  return { source: steps, destination: steps };
}

/** Both sides leave out what they would say once more. */
function withoutRepeated(kind: 'page' | 'ask'): { stepSource: StepSource; stepDestination: StepDestination } {
  const isOther = (action: { kind: string; message?: { kind: string } }) =>
    action.kind !== 'send' || action.message?.kind !== kind;
  return {
    stepSource: (region, event) => {
      const step = stepSourceRegion(region, event);
      return event.kind === 'linkBack' ? mapActions(step, (actions) => actions.filter(isOther)) : step;
    },
    stepDestination: (region, event) => {
      const step = stepDestinationRegion(region, event);
      return event.kind === 'linkBack' ? mapActions(step, (actions) => actions.filter(isOther)) : step;
    },
  };
}

function withoutAction(kind: string): StepSource {
  return (region, event) =>
    mapActions(stepSourceRegion(region, event), (actions) => actions.filter((action) => action.kind !== kind));
}

function beforeSource(change: (region: Parameters<StepSource>[0]) => void): StepSource {
  return (region, event) => {
    change(region);
    return stepSourceRegion(region, event);
  };
}

function silentDestination(...[region, event]: Parameters<StepDestination>): ReturnType<StepDestination> {
  return mapActions(stepDestinationRegion(region, event), (actions) =>
    actions.filter((action) => action.kind !== 'send' || action.message.kind !== 'acknowledge'),
  );
}

function mapActions<Action>(
  step: RegionStep<Action>,
  change: (actions: readonly Action[]) => readonly Action[],
): RegionStep<Action> {
  return step.kind === 'refused' ? step : { ...step, actions: change(step.actions) };
}

import { describe, expect, test } from 'vitest';
import {
  canPush,
  isWithoutVms,
  openSourceRegion,
  type SourceRegion,
  type SourceRegionEvent,
  type SourceSettings,
  stepSourceRegion,
} from './region-source.ts';
import type { RegionMessage } from './region-words.ts';

const SETTINGS: SourceSettings = {
  pages: 8,
  windowPages: 4,
  pushWindowPages: 2,
  completeAtPages: 3,
  askAgainMs: 100,
  vms: [
    { vm: 'db', canStopInFault: false },
    { vm: 'web', canStopInFault: true },
  ],
};

const open = (changes: Partial<SourceSettings> = {}) => openSourceRegion({ ...SETTINGS, ...changes });
const ask = (page: number, turn = 0): SourceRegionEvent => hear({ kind: 'ask', page, turn });
const acknowledge = (page: number, turn = 1): SourceRegionEvent => hear({ kind: 'acknowledge', page, turn });
const lent = (page: number, turn = 2): SourceRegionEvent => hear({ kind: 'page', page, turn });
const access = (vm: string, page: number, atMs = 0): SourceRegionEvent => ({ kind: 'accessed', vm, page, atMs });
const push = (page: number): SourceRegionEvent => ({ kind: 'push', page });
const leave = (vm: string): SourceRegionEvent[] => [
  { kind: 'vmStopped', vm },
  { kind: 'vmLeft', vm },
];

/** With the settings above: enough that the rest fits into the window, and is not acknowledged. */
const PUSHES = [0, 1, 2, 3, 4].flatMap((page) => [push(page), acknowledge(page)]);

describe('a page at the source', () => {
  test('goes when it is asked for, and stops nobody who does not touch it', () => {
    const region = open();
    expect(run(region, ask(3))).toEqual(['takeAway 3', 'page 3 1']);
    expect(run(region, access('db', 2))).toEqual(['wake db 2']);
    expect(region.vms.map(({ phase }) => phase)).toEqual(['running', 'running']);
  });

  test('that is on its way still goes back to a VM that touches it', () => {
    const region = open();
    run(region, ask(3));
    expect(run(region, access('db', 3))).toEqual(['stopVm db', 'ask 3 1']);
  });
});

describe('a VM that touches a page that has gone', () => {
  test('is stopped; its page is lent, stays until it stands, and goes back without being asked for', () => {
    const region = open();
    run(region, ask(3), acknowledge(3));
    expect(run(region, access('db', 3, 12))).toEqual(['stopVm db', 'ask 3 1']);
    expect(run(region, lent(3))).toEqual(['install 3', 'acknowledge 3 2']);
    expect(run(region, ask(3, 2))).toEqual([]);
    expect(run(region, push(3))).toEqual([]);
    expect(run(region, { kind: 'vmStopped', vm: 'db' })).toEqual(['takeAway 3', 'page 3 3']);
    expect(region.stoppingAccesses).toEqual([{ vm: 'db', page: 3, atMs: 12 }]);
    expect(region.table.tally).toMatchObject({ asked: 1, arrived: 1, givenOnRequest: 2, returned: 0 });
  });

  test('is stopped once, whatever else it touches', () => {
    const region = open();
    run(region, ask(3), ask(4));
    expect(run(region, access('db', 3), access('db', 4), access('db', 3))).toEqual(['stopVm db', 'ask 3 1', 'ask 4 1']);
    expect(region.stoppingAccesses).toHaveLength(1);
  });

  test('is only stopped if a stop comes back in a fault', () => {
    const region = open();
    run(region, ask(3));
    expect(run(region, access('web', 3))).toEqual(['stopVm web']);
    expect(run(region, ...leave('web'))).toEqual([]);
    expect(region.table.tally.asked).toBe(0);
  });

  test('is lent what it waits for when its stop is overdue', () => {
    const region = open();
    run(region, ask(3), ask(4), access('web', 3));
    expect(run(region, { kind: 'vmOverdue', vm: 'web', atMs: 0 })).toEqual(['ask 3 1']);
    expect(run(region, access('web', 4))).toEqual(['ask 4 1']);
  });

  test('keeps the page from going back for the other VM that waits for it', () => {
    const region = open({
      vms: [
        { vm: 'db', canStopInFault: false },
        { vm: 'log', canStopInFault: false },
      ],
    });
    run(region, ask(3), access('db', 3), access('log', 3), lent(3));
    expect(run(region, { kind: 'vmStopped', vm: 'db' })).toEqual([]);
    expect(run(region, { kind: 'vmStopped', vm: 'log' })).toEqual(['takeAway 3', 'page 3 3']);
    expect(region.table.tally.returned).toBe(1);
  });

  test('and stands when its page comes has no use for it', () => {
    const region = open();
    run(region, ask(3), access('web', 3), { kind: 'vmOverdue', vm: 'web', atMs: 0 }, { kind: 'vmStopped', vm: 'web' });
    expect(run(region, lent(3))).toEqual(['install 3', 'acknowledge 3 2', 'forget 3', 'takeAway 3', 'page 3 3']);
  });

  test('after it was continued here is stopped for good', () => {
    const region = open();
    run(region, ask(3), access('web', 3), { kind: 'vmStopped', vm: 'web' }, { kind: 'vmContinued', vm: 'web' });
    expect(run(region, access('web', 3))).toEqual(['stopVm web for good']);
    run(region, { kind: 'vmStopped', vm: 'web' });
    expect(run(region, { kind: 'vmContinued', vm: 'web' })).toEqual([
      'VM web was continued and had been stopped for good',
    ]);
  });

  test('after it was continued here is lent nothing any more because of its stop before', () => {
    const region = open();
    run(region, ask(3), access('web', 3), { kind: 'vmOverdue', vm: 'web', atMs: 0 }, lent(3));
    run(region, { kind: 'vmStopped', vm: 'web' }, { kind: 'vmContinued', vm: 'web' });
    expect(run(region, access('web', 3))).toEqual(['stopVm web for good']);
  });

  test('when it has left waits no more', () => {
    const region = open();
    run(region, ask(3), ...leave('db'));
    expect(run(region, access('db', 3))).toEqual([]);
  });
});

describe('pushing', () => {
  test('leaves room in the window for what is asked for', () => {
    const region = open();
    expect(run(region, push(0), push(1), push(2))).toEqual(['takeAway 0', 'page 0 1', 'takeAway 1', 'page 1 1']);
    expect(canPush(region, 2)).toBe(false);
    expect(run(region, ask(5))).toEqual(['takeAway 5', 'page 5 1']);
    expect(run(region, acknowledge(0), acknowledge(1), push(2))).toEqual([
      'forget 0',
      'forget 1',
      'takeAway 2',
      'page 2 1',
    ]);
  });

  test('does nothing without a link, and with pages that are not here', () => {
    const region = open();
    run(region, push(0), { kind: 'linkLost' });
    expect([canPush(region, 0), canPush(region, 1), canPush(region, 99)]).toEqual([false, false, false]);
    expect(run(region, push(1))).toEqual([]);
  });
});

describe('the end', () => {
  test('comes when no VM is left and few pages are: the rest goes at once, then the end is told, then all is freed', () => {
    const region = open({ pages: 4, completeAtPages: 2 });
    run(region, ask(0), ask(1), acknowledge(0), acknowledge(1), ...leave('db'));
    expect(isWithoutVms(region)).toBe(false);
    expect(run(region, ...leave('web'))).toEqual(['takeAway 2', 'page 2 1', 'takeAway 3', 'page 3 1', 'complete']);
    expect(isWithoutVms(region)).toBe(true);
    expect(run(region, acknowledge(2), acknowledge(3), hear({ kind: 'completed' }))).toEqual([
      'forget 2',
      'forget 3',
      'free',
    ]);
    expect(run(region, hear({ kind: 'completed' }))).toEqual([]);
  });

  test('is not told while more pages are left than the threshold says', () => {
    const region = open({ vms: [], pages: 4, completeAtPages: 2 });
    expect(run(region, push(0), acknowledge(0))).toEqual(['takeAway 0', 'page 0 1', 'forget 0']);
    expect(run(region, push(1))).toContain('complete');
  });

  test('waits for the window', () => {
    const region = open({ vms: [], pages: 2, windowPages: 1, completeAtPages: 2 });
    expect(run(region, { kind: 'timePassed', nowMs: 0 })).toEqual(['takeAway 0', 'page 0 1']);
    expect(run(region, acknowledge(0))).toEqual(['forget 0', 'takeAway 1', 'page 1 1', 'complete']);
  });

  test('waits for a page that was asked back', () => {
    const region = open({ pages: 1, vms: [{ vm: 'web', canStopInFault: true }] });
    run(region, ask(0), access('web', 0), { kind: 'vmOverdue', vm: 'web', atMs: 0 });
    expect(run(region, ...leave('web'))).toEqual([]);
    expect(run(region, lent(0))).toEqual([
      'install 0',
      'acknowledge 0 2',
      'forget 0',
      'takeAway 0',
      'page 0 3',
      'complete',
    ]);
  });

  test('is told again when the link is back', () => {
    const region = open({ vms: [], pages: 1 });
    run(region, push(0), { kind: 'linkLost' });
    expect(run(region, { kind: 'linkBack', nowMs: 0 })).toEqual(['page 0 1', 'complete']);
  });
});

test('a destination that has had everything and ended acknowledges nothing more: the copies and the rest are freed', () => {
  const region = open();
  run(region, ...leave('db'), ...leave('web'), ...PUSHES, { kind: 'linkLost' });
  expect(run(region, { kind: 'overThere' })).toEqual(['forget 5', 'forget 6', 'forget 7', 'free']);
  expect(run(region, { kind: 'overThere' })).toEqual([]);
});

describe('what nobody may say', () => {
  test.each<[string, SourceRegionEvent[]]>([
    ['VM cache is not of the group', [access('cache', 0)]],
    ['VM db accessed page 8 of a region of 8', [access('db', 8)]],
    ['VM db left while it was running', [{ kind: 'vmLeft', vm: 'db' }]],
    ['VM db was continued while it was running', [{ kind: 'vmContinued', vm: 'db' }]],
    ['VM db was stopped after it had left', [...leave('db'), { kind: 'vmStopped', vm: 'db' }]],
    ['The destination said completed too early', [hear({ kind: 'completed' })]],
    ['The destination said complete, which only the source says', [hear({ kind: 'complete' })]],
    ['The destination says that it had everything before it was told so', [...leave('db'), { kind: 'overThere' }]],
    ['The peer named page 8 of a region of 8', [ask(8)]],
    [
      'The destination said completed too early',
      [...leave('db'), ...leave('web'), ...PUSHES, hear({ kind: 'completed' })],
    ],
  ])('%s', (rule, events) => {
    expect(run(open(), ...events).at(-1)).toBe(rule);
  });
});

function hear(message: RegionMessage): SourceRegionEvent {
  return { kind: 'received', message };
}

/** What the steps order, or the rule that one refused, as text. */
function run(region: SourceRegion, ...events: SourceRegionEvent[]): string[] {
  return events.flatMap((event) => {
    const step = stepSourceRegion(region, event);
    if (step.kind === 'refused') return [step.rule];
    return step.actions.map((action) => {
      switch (action.kind) {
        case 'send':
          return 'page' in action.message
            ? `${action.message.kind} ${action.message.page} ${action.message.turn}`
            : action.message.kind;
        case 'stopVm':
          return `stopVm ${action.vm}${action.forGood ? ' for good' : ''}`;
        case 'wake':
          return `wake ${action.vm} ${action.page}`;
        case 'free':
          return 'free';
        default:
          return `${action.kind} ${action.page}`;
      }
    });
  });
}

import { expect, test } from 'vitest';
import type { GroupMemberView, GroupMigrationView } from '../api/group-migration-schema.ts';
import { findWaitsFor } from './group-waiting.ts';

const REGION = {
  ...{ name: 'bus', sizeBytes: 4096, pages: 9, pagesLeft: 7, requestedPages: 0, pushedPages: 0, lentPages: 0 },
  ...{ sentAgainPages: 0, wireBytes: 0, connected: true },
};

function member(vm: string, state: GroupMemberView['state']): GroupMemberView {
  return { vm, state, migration: null, downtimeMs: null, downtimeParts: null, stoppedBy: null, attempts: 0 };
}

function facts(state: GroupMigrationView['state'], members: GroupMemberView[], connected = true) {
  return { group: 'bus', to: 'there', state, members, regions: [{ ...REGION, connected }] };
}

const [GONE, COMING, STAYING] = [member('a', 'moved'), member('b', 'moving'), member('c', 'waiting')];
const CALL = 'to touch memory that has gone (to call them now: godwit group follow bus)';

test.each([
  ['preparing', facts('preparing', [STAYING]), [], 'there to make room for shared memory bus'],
  ['the first VM', facts('moving', [COMING, STAYING]), ['c'], 'VM b to arrive at there'],
  ['accesses', facts('split', [GONE, STAYING]), ['c'], `VM c ${CALL}`],
  ['both', facts('split', [GONE, COMING, STAYING]), ['c'], `VM b to arrive at there; VM c ${CALL}`],
  ['those whose turn comes', facts('split', [GONE, STAYING]), [], 'its VMs to leave'],
  [
    'a cut',
    facts('split', [GONE, STAYING], false),
    ['c'],
    'the connection of shared memory bus to there, which is dialled again and again',
  ],
  ['the rest', facts('completing', [GONE]), [], 'the last 7 pages of shared memory bus'],
  ['nothing', facts('completed', [GONE]), [], null],
] as const)('a group that waits for: %s', (_name, view, uncalled, sentence) => {
  expect(findWaitsFor(view, uncalled)).toBe(sentence);
});

import { expect, test } from 'vitest';
import { parseTracker } from './tracker-choice.ts';

test.each([
  ['kernel', { kind: 'kernel' }],
  ['groups', { kind: 'groups', pages: 'auto' }],
  ['groups:auto', { kind: 'groups', pages: 'auto' }],
  ['groups:1', { kind: 'groups', pages: 1 }],
  ['groups:4096', { kind: 'groups', pages: 4096 }],
  ['groups:4097', undefined],
  ['groups:0', undefined],
  ['groups:', undefined],
  ['groups:1.5', undefined],
  ['kernel:1', undefined],
  ['', undefined],
])('%j is %j', (text, choice) => {
  expect(parseTracker(text)).toEqual(choice);
});

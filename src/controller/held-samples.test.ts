import { expect, test } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { HeldSamples } from './held-samples.ts';

const answer = (contentsCursor: string | undefined, ...vms: OutlookVm[]): OutlookView => ({
  ...{ host: 'a', migration: 'a:1', memoryBytes: 1, bandwidthBytesPerSecond: 0, ways: {}, outgoing: [], vms },
  ...(contentsCursor === undefined ? {} : { contentsCursor }),
});
const vm = (name: string, contents: string | null, contentsVersion: string | null): OutlookVm =>
  vmOf(name, { contents, contentsVersion });
const contentsOf = ({ vms }: OutlookView): (string | null)[] => vms.map(({ contents }) => contents);

test('what was told before is put back, what is new or was never there is as it is told', () => {
  const samples = new HeldSamples();
  expect(samples.question.contentsAfter).toBeUndefined();
  samples.complete(answer('d.2', vm('x', 'X', 'd.1'), vm('y', 'Y', 'd.2'), vm('z', null, null)));
  expect(samples.question.contentsAfter).toBe('d.2');
  const next = samples.complete(answer('d.3', vm('x', null, 'd.1'), vm('y', 'Y2', 'd.3'), vm('z', null, null)));
  expect(contentsOf(next)).toEqual(['X', 'Y2', null]);
  expect(contentsOf(samples.complete(answer('d.3', vm('y', null, 'd.3'))))).toEqual(['Y2']);
});

test('where something is missing everything is asked for anew', () => {
  const samples = new HeldSamples();
  samples.complete(answer('d.2', vm('x', 'X', 'd.1')));
  // Its sample was told in an answer that never came.
  expect(contentsOf(samples.complete(answer('d.3', vm('x', null, 'd.3'))))).toEqual([null]);
  expect(samples.question.contentsAfter).toBeUndefined();
});

test('an older host, which knows no versions, tells all each time', () => {
  const samples = new HeldSamples();
  expect(contentsOf(samples.complete(answer(undefined, vmOf('x', { contents: 'X' }))))).toEqual(['X']);
  expect(samples.question.contentsAfter).toBeUndefined();
});

test('what comes in pieces is asked for from where it has come to, and an older sample serves meanwhile', () => {
  const samples = new HeldSamples();
  const left = (cursor: string, ...vms: OutlookVm[]) => ({ ...answer(cursor, ...vms), contentsLeft: true });
  samples.complete(answer('d.1', vm('x', 'X', 'd.1')));
  const first = samples.complete(left('d.2', vm('x', null, 'd.4'), vm('y', 'Y', 'd.2'), vm('z', null, 'd.3')));
  expect(contentsOf(first)).toEqual(['X', 'Y', null]);
  expect(samples.question.contentsAfter).toBe('d.2');
  const last = samples.complete(answer('d.4', vm('x', 'X2', 'd.4'), vm('y', null, 'd.2'), vm('z', 'Z', 'd.3')));
  expect(contentsOf(last)).toEqual(['X2', 'Y', 'Z']);
  // One that never came is missed at the end.
  samples.complete(left('d.5', vm('x', null, 'd.4'), vm('y', null, 'd.6')));
  samples.complete(answer('d.7', vm('x', null, 'd.4'), vm('y', null, 'd.6')));
  expect(samples.question.contentsAfter).toBeUndefined();
});

test('a piece that was late is asked for as a smaller one, and a brief answer has what is known', () => {
  const samples = new HeldSamples();
  samples.complete(answer('d.1', vm('x', 'X', 'd.1')));
  const before = samples.question.contentsLimit!;
  samples.cutOffAfter(0.9);
  expect(samples.question).toEqual({ isBrief: false, contentsAfter: 'd.1', contentsLimit: before / 4 });
  for (let i = 0; i < 20; i++) samples.cutOffAfter(1);
  expect(samples.question.contentsLimit).toBe(65_536);
  expect(contentsOf(samples.fill(answer(undefined, vm('x', null, null), vm('y', null, null))))).toEqual(['X', null]);
});

test('pieces grow again where they come fast, and one that was asked for last and cut off soon makes none smaller', () => {
  const samples = new HeldSamples();
  const largest = samples.question.contentsLimit!;
  samples.cutOffAfter(0.3);
  samples.cameAfter(0.1);
  expect(samples.question.contentsLimit).toBe(largest);
  samples.cutOffAfter(1);
  samples.cameAfter(0.4);
  expect(samples.question.contentsLimit).toBe(largest / 4);
  samples.cameAfter(0.1);
  expect(samples.question.contentsLimit).toBe(largest / 2);
});

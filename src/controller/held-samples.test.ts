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
  expect(samples.cursor).toBeUndefined();
  samples.complete(answer('d.2', vm('x', 'X', 'd.1'), vm('y', 'Y', 'd.2'), vm('z', null, null)));
  expect(samples.cursor).toBe('d.2');
  const next = samples.complete(answer('d.3', vm('x', null, 'd.1'), vm('y', 'Y2', 'd.3'), vm('z', null, null)));
  expect(contentsOf(next)).toEqual(['X', 'Y2', null]);
  expect(contentsOf(samples.complete(answer('d.3', vm('y', null, 'd.3'))))).toEqual(['Y2']);
});

test('where something is missing everything is asked for anew', () => {
  const samples = new HeldSamples();
  samples.complete(answer('d.2', vm('x', 'X', 'd.1')));
  // Its sample was told in an answer that never came.
  expect(contentsOf(samples.complete(answer('d.3', vm('x', null, 'd.3'))))).toEqual([null]);
  expect(samples.cursor).toBeUndefined();
});

test('an older host, which knows no versions, tells all each time', () => {
  const samples = new HeldSamples();
  expect(contentsOf(samples.complete(answer(undefined, vmOf('x', { contents: 'X' }))))).toEqual(['X']);
  expect(samples.cursor).toBeUndefined();
});

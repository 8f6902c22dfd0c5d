import { describe, expect, test } from 'vitest';
import type { FleetVm } from './fleet-state.ts';
import { adaptPrediction, predictGroup, predictVm, type VmPrediction } from './group-prediction.ts';
import { syntheticState, syntheticVms } from './synthetic-fleet.ts';

const SPEC = {
  seed: 1,
  vmCount: 5,
  images: 1,
  ramBytes: 2 ** 28,
  imagePart: 0.8,
  hosts: [],
  on: ['a'],
  linkBytesPerSecond: 1e8,
};
const VMS = syntheticVms(SPEC);
const EXPECTATION = syntheticState(SPEC, [], []).expect(VMS[0]!.vm, 'b');

/** idle, web, database, periodic, rewriting. */
const vmOf = (workload: string): FleetVm => VMS.find((each) => each.workload === workload)!.vm;

function predict(vm: FleetVm, { held = 0, bytesPerSecond = 1e8, dirtyFactor = 1 } = {}): VmPrediction {
  const pages = { newPages: vm.dataPages * (1 - held), heldPages: vm.dataPages * held };
  return predictVm(vm, pages, { expectation: EXPECTATION, bytesPerSecond, dirtyFactor });
}

describe('a VM', () => {
  test('takes as long as its pages at the granted rate', () => {
    const vm = vmOf('idle');
    const { bytes, totalMs, ending } = predict(vm);
    const expected = vm.dataPages * EXPECTATION.link.wholeBytes;
    expect(bytes.p50 / expected).toBeCloseTo(1, 1);
    expect(totalMs.p50).toBeGreaterThan(expected / 1e5);
    expect(totalMs.p50).toBeLessThan(expected / 1e5 + 400);
    expect(ending).toBe('finish');
  });

  test('brings only what the destination does not hold', () => {
    const [all, half, none] = [0, 0.5, 1].map((held) => predict(vmOf('idle'), { held }));
    expect(half!.bytes.p50 / all!.bytes.p50).toBeCloseTo(0.5, 1);
    expect(none!.bytes.p50 / all!.bytes.p50).toBeLessThan(0.02);
  });

  test('takes the time that naming takes for what is there, and no more than sending it would', () => {
    const vm = vmOf('idle');
    const [named, sent] = [1, 0].map((held) => predict(vm, { held }));
    expect(named!.totalMs.p50).toBeGreaterThan(vm.dataPages * 0.02);
    expect(named!.totalMs.p50).toBeLessThanOrEqual(sent!.totalMs.p50);
    expect(named!.bytes.p50).toBeLessThan(vm.dataPages * 40);
    // On a slow link the names themselves are what takes time.
    const slow = predict(vm, { held: 1, bytesPerSecond: 5e5 });
    expect(slow.totalMs.p50).toBeGreaterThan(vm.dataPages * 0.04);
    expect(slow.bytes.p50 / named!.bytes.p50).toBeCloseTo(1, 1);
  });

  test('that writes faster than it is sent, on half the bandwidth, costs more than twice the time', () => {
    const vm = vmOf('database');
    const [whole, half] = [1e8, 2e7].map((bytesPerSecond) => predict(vm, { bytesPerSecond }));
    expect(half!.totalMs.p50).toBeGreaterThan(5 * whole!.totalMs.p50 - 5 * 300);
    expect(half!.bytes.p50).toBeGreaterThan(whole!.bytes.p50);
  });

  test('brings less in its quiet phase', () => {
    const [quiet, busy] = [0.1, 1.6].map((dirtyFactor) => predict(vmOf('periodic'), { dirtyFactor }));
    expect(quiet!.bytes.p50).toBeLessThan(busy!.bytes.p50);
  });

  test('that pre-copy cannot move is told so, and has a bound by post-copy', () => {
    const vm = vmOf('rewriting');
    const stubborn: FleetVm = {
      ...vm,
      canPostCopy: false,
      options: { ...vm.options, mode: 'pre-copy', throttle: { ...vm.options.throttle, enabled: false } },
    };
    expect(predict(stubborn).ending).toBe('giveUp');
    const moved = predict(vm);
    expect(moved.ending).toBe('postCopy');
    expect(moved.boundMs).toBeGreaterThan((vm.dataPages * EXPECTATION.link.wholeBytes) / 1e5);
  });

  test('for which other contents are held then is predicted as if from the start', () => {
    const vm = vmOf('web');
    const direct = predict(vm, { held: 0.6 });
    const adapted = adaptPrediction(predict(vm, { held: 0.2 }), direct.pages);
    expect(adapted.bytes.p50 / direct.bytes.p50).toBeCloseTo(1, 1);
    expect(adapted.totalMs.p50 / direct.totalMs.p50).toBeCloseTo(1, 1);
  });
});

test('a policy that allows a tenth of the port makes it ten times as long, and so what can be promised', () => {
  const vm = vmOf('idle');
  const options = { ...vm.options, bandwidthBytesPerSecond: 1e7 };
  const [free, limited] = [predict(vm), predict({ ...vm, options })];
  expect(limited.totalMs.p50 / free.totalMs.p50).toBeGreaterThan(8);
  expect(limited.totalMs.p50 / free.totalMs.p50).toBeLessThan(10.5);
  expect(limited.boundMs / free.boundMs).toBeGreaterThan(8);
  const loose = predict({ ...vm, options: { ...options, bandwidthBytesPerSecond: 1e9 } });
  expect(loose).toEqual(free);
});

test('a group takes the sum, and its downtime is that of the VM with the longest', () => {
  const members = ['idle', 'database'].map((workload) => predict(vmOf(workload)));
  const group = predictGroup(members);
  const longest = Math.max(...members.map(({ downtimeMs }) => downtimeMs.p50));
  expect(group.downtimeMs.p50).toBeGreaterThanOrEqual(longest);
  expect(group.bytes.p50).toBe(members[0]!.bytes.p50 + members[1]!.bytes.p50);
  const alike = predictGroup([members[0]!, members[0]!, members[0]!]);
  expect(alike.downtimeMs.p90).toBeGreaterThan(members[0]!.downtimeMs.p90 * 1.02);
});

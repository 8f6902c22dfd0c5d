import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { identifyProcess } from '../linux/process.ts';
import { DirtySampler, type SampledVm } from './dirty-sampler.ts';

const PAGES = 64;

function vmOf(pig: GuineaPig): SampledVm {
  const region = { id: 'ram', bytes: PAGES * PAGE_SIZE, fdPath: pig.path, address: String(pig.start) };
  return { qemu: identifyProcess(pig.pid)!, regions: [region] };
}

function isTracked({ pid }: GuineaPig): boolean {
  return /^VmFlags:.* (uw|um|ui)\b/m.test(readFileSync(`/proc/${pid}/smaps`, 'utf8'));
}

/** Without a turn of the event loop, which would take the stops of its child from the thread that waits for them. */
function standUntilTracked(pig: GuineaPig): void {
  const deadlineMs = performance.now() + 10_000;
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (!isTracked(pig) && performance.now() < deadlineMs) Atomics.wait(never, 0, 0, 2);
  expect(isTracked(pig)).toBe(true);
}

test('a window that is ended early keeps what it has found, and the VM is not tracked any more', async () => {
  await using pig = await GuineaPig.start(PAGES);
  using sampler = new DirtySampler();
  const window = sampler.begin(vmOf(pig));
  standUntilTracked(pig);
  await window.end();
  expect(isTracked(pig)).toBe(false);
  expect(await window.ended).toMatchObject({ points: expect.anything() });
});

test('a VM whose window is open is not left tracked by a thread that dies without a word', async () => {
  await using pig = await GuineaPig.start(PAGES);
  using sampler = new DirtySampler('../../test/support/dying-sampler');
  const window = sampler.begin(vmOf(pig));
  standUntilTracked(pig);
  await window.end();
  expect(await window.ended).toEqual({ failure: 'its thread has ended', isHopeless: true });
  expect(isTracked(pig)).toBe(false);
  // There is no thread for another one.
  expect(await sampler.begin(vmOf(pig)).ended).toMatchObject({ isHopeless: true });
});

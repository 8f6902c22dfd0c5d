/**
 * The verdict on a VM with the tiny guest once a migration is over, from outside.
 *
 * Must hold: the VM is in the state that it was found in afterwards, whatever the verdict.
 */
import { expect } from 'vitest';
import type { VmView } from '../../src/api/vm-schema.ts';
import { type HostPair, isFree, openTinyGuest, type ReachedHost } from './host-pair.ts';
import { noMarks, nothingRemains } from './traces.ts';

/** Visits to pages that show a guest at work, also one that is to do a few hundred a second. */
const PAGES_OF_WORK = 50;

/** It runs here and works, unslowed, untracked and intact; no migration has it, and the other host has nothing of it. */
export async function runsIntact(pair: HostPair, vm: string, at: ReachedHost): Promise<VmView> {
  const view = await isFree(at, vm);
  expect(view.state).toBe('running');
  await noMarks(view.pid!);
  await nothingRemains(at === pair.a ? pair.b : pair.a, vm);
  await worksIntact(at, vm);
  return view;
}

/** The guest of a running VM works, and its memory is what it must be. */
export async function worksIntact(at: ReachedHost, vm: string): Promise<void> {
  using guest = await openTinyGuest(at, vm);
  await guest.pagesWritten(PAGES_OF_WORK);
  await at.client.actOnVm(vm, 'pause');
  const invariant = guest.checkInvariant();
  await at.client.actOnVm(vm, 'resume');
  expect(invariant).toEqual({ ok: true });
}

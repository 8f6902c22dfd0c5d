/**
 * VMs that have failed: when they are tried again, and when they are left to people.
 *
 * Owns: the numbers. Pure. Must hold: a VM is given up only when it has failed often enough and at every host that has room for it.
 */
import type { MoveState } from './fleet-state.ts';
import type { Refusal } from './plan.ts';

export type Failed = Extract<MoveState, { kind: 'failed' }>;

/** One that has failed so often goes only where it was not tried yet. */
const MAX_ATTEMPTS = 3;
/** After the first failure; doubled by each further one. */
const REST_MS = 30_000;
const LONGEST_REST_MS = 120_000;

export function isSpent({ attempts }: Failed): boolean {
  return attempts >= MAX_ATTEMPTS;
}

export function notBeforeMs({ atMs, attempts }: Failed): number {
  return atMs + Math.min(LONGEST_REST_MS, REST_MS * 2 ** (attempts - 1));
}

export function refuseFailed({ attempts, reason }: Failed): Refusal {
  return { kind: 'failed', attempts, reason };
}

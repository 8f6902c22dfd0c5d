/**
 * A thread that takes from a host's budget without end, as a migration's does.
 *
 * Owns: one pacer. `taken[index]` is what it has taken so far.
 */
import { workerData } from 'node:worker_threads';
import { HostBudget } from '../../src/transfer/host-budget.ts';
import { Pacer } from '../../src/transfer/pacer.ts';

export interface BudgetTakerInput {
  readonly budget: SharedArrayBuffer;
  readonly taken: BigInt64Array<SharedArrayBuffer>;
  readonly index: number;
  readonly frameBytes: number;
}

const { budget, taken, index, frameBytes } = workerData as BudgetTakerInput;
const pacer = new Pacer(0, new HostBudget(budget));
for (;;) {
  await pacer.take(frameBytes);
  Atomics.add(taken, index, BigInt(frameBytes));
}

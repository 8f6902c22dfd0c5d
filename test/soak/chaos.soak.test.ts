/**
 * Random migrations of several VMs while daemons and links fail at random (`npm run test:chaos`): after each round every VM has
 * one owner and is intact, and nothing else is left.
 *
 * GODWIT_CHAOS_MINUTES and GODWIT_CHAOS_SEED, or `npm run test:chaos -- --minutes N --seed S`. The same seed gives the same rounds; what
 * they meet is up to the machine. A line for each round goes to stdout.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { ChaosPlan, describeRound } from '../support/chaos/plan.ts';
import { ChaosTrial } from '../support/chaos/trial.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const VMS = ['x', 'y', 'z'];
const MINUTES = Number(process.env['GODWIT_CHAOS_MINUTES'] ?? 10);
const SEED = Number(process.env['GODWIT_CHAOS_SEED'] ?? Date.now() % 2 ** 31);
const HOOK_TIMEOUT_MS = 120_000;

let trial: ChaosTrial;

requireCapability('vm')('chaos', () => {
  beforeAll(async () => {
    trial = await ChaosTrial.open(VMS);
  }, HOOK_TIMEOUT_MS);
  afterAll(() => trial?.[Symbol.asyncDispose](), HOOK_TIMEOUT_MS);

  test(
    `loses no VM, doubles none and leaves nothing (seed ${SEED}, ${MINUTES} min)`,
    async () => {
      const plan = new ChaosPlan(SEED, VMS);
      const endMs = performance.now() + MINUTES * 60_000;
      for (let number = 1; performance.now() < endMs; number++) {
        const round = plan.next();
        const startMs = performance.now();
        const failure = await trial.run(round).then(
          () => undefined,
          (error: unknown) => error,
        );
        const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
        process.stdout.write(`round ${number}: ${describeRound(round)} | ${failure ?? `well after ${seconds} s`}\n`);
        if (failure !== undefined) process.stdout.write(`${trial.logs}\n`);
        if (failure !== undefined) throw new Error(`Round ${number} of seed ${SEED}`, { cause: failure });
      }
      const { moves, faults, outcomes } = trial.counts;
      process.stdout.write(`seed ${SEED}: ${moves} migrations, ${faults} faults, ${JSON.stringify(outcomes)}\n`);
      expect(moves).toBeGreaterThan(0);
    },
    (MINUTES + 10) * 60_000,
  );
});

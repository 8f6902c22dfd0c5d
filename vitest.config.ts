import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Threads and programs that tests start by themselves load the sources as a daemon does (src/cli/code-cache.ts): without it each takes
// half a second of CPU time more, for stripping types.
const codeCache = join(import.meta.dirname, '.cache/code');
mkdirSync(codeCache, { recursive: true, mode: 0o700 });
process.env['NODE_COMPILE_CACHE'] ??= codeCache;

// Tests with real processes share their machine with whatever else it does. One that failed is run once more, and the report
// says so ("retry x1"); in npm run test:soak a test has to hold the first time.
const RETRIES = process.env['GODWIT_SOAK'] === '1' ? 0 : 1;

// Tiers by file name: pure tests run anywhere; kernel tests make real system calls; vm tests run real QEMU; soak tests
// run it for long, and only when asked (npm run test:soak).
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'test/**/*.test.ts',
            'guest/**/*.test.ts',
            'bench/**/*.test.ts',
            'scripts/**/*.test.ts',
            'web/**/*.test.ts',
          ],
          exclude: ['**/*.kernel.test.ts', '**/*.vm.test.ts', '**/*.soak.test.ts', '**/node_modules/**'],
          // Pure tests share nothing, so that a thread can take one file after another: a third of the time went into starting.
          pool: 'threads',
          isolate: false,
          // As many as there are processors on a small machine, which otherwise keeps one for nothing.
          maxWorkers: 2,
          testTimeout: 20_000,
          retry: RETRIES,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'kernel',
          include: ['**/*.kernel.test.ts'],
          exclude: ['**/node_modules/**'],
          pool: 'forks',
          // They wait for a part of their time, in which two leave a processor idle; more than three would find the limits of a small machine.
          maxWorkers: 3,
          testTimeout: 60_000,
          retry: RETRIES,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'vm',
          include: ['**/*.vm.test.ts'],
          exclude: ['**/node_modules/**'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          retry: RETRIES,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'soak',
          include: ['**/*.soak.test.ts'],
          exclude: ['**/node_modules/**'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 3_600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

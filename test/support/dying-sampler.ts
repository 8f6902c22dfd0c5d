/** The thread that looks at how VMs write, which dies without being able to do anything more when a window is to end. */
import { parentPort } from 'node:worker_threads';
import type { SamplerOrder } from '../../src/migration/dirty-sampler.ts';

parentPort!.on('message', (order: SamplerOrder) => {
  // As when its memory is used up: no listener of its own runs.
  if (order?.kind === 'end') (process as unknown as { reallyExit(code: number): void }).reallyExit(1);
});

await import('../../src/migration/dirty-sampler-worker.ts');

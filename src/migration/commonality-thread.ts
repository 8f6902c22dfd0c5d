/**
 * The thread that finds out what VMs of this host have in common, seen from the daemon.
 *
 * Owns: one thread for each question. Must hold: the answer, or why there is none, comes whatever happens to the thread.
 */
import { GodwitError } from '../base/errors.ts';
import { startThread } from './child-threads.ts';
import type { LiveVm } from './live-contents.ts';

export interface CommonalityInput {
  readonly vms: readonly LiveVm[];
  /** Of the samples (scanned-sample.ts); null: all memory is looked through. */
  readonly samplesIn: string | null;
  /** [0] turns to 1 when the thread is to end. */
  readonly stop: Int32Array;
}

/** Contents that two VMs both have; [a][a] are all of a. In the order of the VMs. */
export interface GrainCommonality {
  readonly grainBytes: number;
  /** One content in so many was looked at. */
  readonly sampledOf: number;
  readonly common: readonly Float64Array[];
  readonly refuted: number;
}

/** From the thread. */
export type CommonalityReport =
  | { readonly kind: 'grains'; readonly grains: readonly GrainCommonality[] }
  | { readonly kind: 'failed'; readonly reason: string };

/** A grain of which there is too much to be looked through is left out. @throws GW_INTERNAL */
export function measureCommonality(input: Omit<CommonalityInput, 'stop'>): Promise<readonly GrainCommonality[]> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const { promise, resolve, reject } = Promise.withResolvers<readonly GrainCommonality[]>();
  const fail = (reason: string): void => reject(new GodwitError('GW_INTERNAL', { reason }));
  const thread = startThread({
    module: 'commonality-worker',
    input: { ...input, stop },
    stop: () => Atomics.store(stop, 0, 1),
  });
  thread.unref();
  thread.on('message', (report: CommonalityReport) => {
    if (report.kind === 'grains') resolve(report.grains);
    else fail(report.reason);
  });
  thread.on('error', (error) => fail(error.message));
  thread.on('exit', () => fail('the thread that looks through the memory of VMs has ended'));
  return promise;
}

/**
 * The thread that finds out what VMs of this host have in common.
 *
 * Must hold: it gives way to everything else on this host; a VM that ends meanwhile is looked at as far as it was.
 */
import { randomBytes } from 'node:crypto';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { explain, GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { createPageSample } from '../base/page-sample.ts';
import { decodePageSample } from '../base/page-sample-code.ts';
import { BLOCK_GRAINS, sampledOf } from '../memory/block-sample.ts';
import { countExactly, countSampled } from '../memory/commonality.ts';
import type { CommonalityInput, CommonalityReport, GrainCommonality } from './commonality-thread.ts';
import { openMemory, samplesPathIn } from './live-contents.ts';
import { readSamples } from './scanned-sample.ts';
import { takeInput } from './thread-input.ts';

const GRAINS = [PAGE_SIZE, ...BLOCK_GRAINS] as const;
/** Behind migrations and guests; somebody waits for it, unlike for the scanner. */
const NICE = 10;

const { vms, samplesIn, stop } = await takeInput<CommonalityInput>();
setPriority(0, NICE);
let report: CommonalityReport;
try {
  report = { kind: 'grains', grains: samplesIn === null ? compareAll() : compareSamples(samplesIn) };
} catch (error) {
  report = { kind: 'failed', reason: explain(error) };
}
parentPort!.postMessage(report);
parentPort!.close();

function compareSamples(directory: string): GrainCommonality[] {
  const samples = vms.map((vm) => readSamples(samplesPathIn(directory, vm))?.samples);
  return GRAINS.map((grainBytes) => {
    const ofGrain = samples.map((each) => (each && decodePageSample(each[grainBytes])) ?? createPageSample([]));
    return { grainBytes, sampledOf: sampledOf(grainBytes), ...countSampled(ofGrain) };
  });
}

function compareAll(): GrainCommonality[] {
  using memories = new DisposableStack();
  const opened = vms.map((vm) => {
    const memory = openMemory(vm);
    if (!memory) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: vm.pid });
    return memories.use(memory);
  });
  // Hashes are compared with each other only.
  const key = randomBytes(32);
  return GRAINS.flatMap((grainBytes) => {
    const counted = countExactly(opened, grainBytes, key, endIfTold);
    return counted ? [{ grainBytes, sampledOf: 1, ...counted }] : [];
  });
}

/** In the middle of a VM, too: the daemon waits. */
function endIfTold(): void {
  if (Atomics.load(stop, 0) !== 0) process.exit();
}

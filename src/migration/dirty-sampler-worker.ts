/**
 * The thread that looks at how VMs write.
 *
 * Owns: the trackers of its windows. Must hold: it ends with no VM tracked.
 */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { isAlive } from '../linux/process.ts';
import { KernelDirtyTracker } from '../memory/dirty-tracker.ts';
import { RamLayout } from '../memory/layout.ts';
import type { SampledVm, SamplerOrder, SamplerReport, WindowOutcome } from './dirty-sampler.ts';
import { lookAtWriting } from './dirty-window.ts';
import { readKnownRam } from './known-ram.ts';
import { choosePieces } from './sampled-pieces.ts';
import { takeInput } from './thread-input.ts';
import { isUnsupported } from './tracker-opening.ts';

const NICE = 10;

await takeInput<null>();
const windows = new Map<number, AbortController>();
const looking = new Set<Promise<void>>();

setPriority(0, NICE);
parentPort!.on('message', (order: SamplerOrder) => {
  if (order.kind === 'begin') {
    const done = look(order.window, order.vm).finally(() => looking.delete(done));
    looking.add(done);
  } else if (order.kind === 'end') {
    windows.get(order.window)?.abort();
  } else {
    for (const window of windows.values()) window.abort();
    void Promise.all(looking).then(() => parentPort!.close());
  }
});

async function look(window: number, vm: SampledVm): Promise<void> {
  const ending = new AbortController();
  windows.set(window, ending);
  const outcome = await outcomeOf(vm, ending.signal);
  windows.delete(window);
  report({ kind: 'ended', window, outcome });
}

async function outcomeOf({ qemu, regions }: SampledVm, signal: AbortSignal): Promise<WindowOutcome> {
  try {
    if (!isAlive(qemu))
      throw new GodwitError('GW_QEMU_GONE', { vm: String(qemu.pid), reason: 'its process has ended' });
    const { pieces, scale } = choosePieces(regions, Math.random());
    const ram = readKnownRam(pieces);
    const layout = new RamLayout(ram);
    const addresses = ram.map(({ hostAddress }) => hostAddress);
    using tracker = KernelDirtyTracker.open(qemu.pid, layout, addresses);
    const { fd } = tracker;
    report({ kind: 'entrusted', fd });
    const entrusted = {
      start: () => tracker.start(),
      peek: (run: PageRun) => tracker.peek(run),
      stop: () => {
        // Before it is closed: its number may be another file's at once.
        report({ kind: 'givenBack', fd });
        tracker.stop();
      },
    };
    const { pageCount } = layout;
    return { points: await lookAtWriting({ tracker: entrusted, pageCount, scale, clock: SYSTEM_CLOCK, signal }) };
  } catch (error) {
    return { failure: explain(error), isHopeless: isUnsupported(error) };
  }
}

function report(message: SamplerReport): void {
  parentPort!.postMessage(message);
}

/** A migration's thread that tracks a process by groups and dies without being able to do anything more. */

import { RamLayout } from '../../src/memory/layout.ts';
import { GroupDirtyTracker, type GroupTrackerOptions } from '../../src/migration/group-tracker.ts';
import { takeInput } from '../../src/migration/thread-input.ts';
import { WORKER_PORT } from '../../src/migration/worker-port.ts';

export type DyingTrackerInput = Pick<GroupTrackerOptions, 'qemu' | 'starts'> & { readonly bytes: number };

const { qemu, starts, bytes } = await takeInput<DyingTrackerInput>();
const tracker = await GroupDirtyTracker.open({
  qemu,
  starts,
  layout: new RamLayout([{ id: 'all', bytes }]),
  pages: 1,
  vcpuTids: [],
  canReturnMemory: false,
  pagesPerSecond: 0,
  entrust: WORKER_PORT.entrust,
});
tracker.start();
// As when its memory is used up: no listener of its own runs.
(process as unknown as { reallyExit(code: number): void }).reallyExit(1);

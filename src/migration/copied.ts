/** What the source has done while the VM ran, as the switchover goes on with it. */
import type { PageRun } from '../base/page.ts';
import type { HeldPages } from '../memory/held-pages.ts';
import type { CopyResult } from './copy-rounds-port.ts';
import type { PageSender } from './page-sender.ts';

export interface Copied {
  readonly sender: PageSender;
  readonly result: CopyResult;
  /** Pages that the destination was told it will miss; null when none will be missing. */
  readonly announced: readonly PageRun[] | null;
  /** The pages that there were when nothing was tracked (pure post-copy). */
  readonly held: HeldPages | null;
  readonly wasRunning: boolean;
}

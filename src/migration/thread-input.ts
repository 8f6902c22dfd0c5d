/** What a thread is for: it may have been started long before anybody knew. */
import { once } from 'node:events';
import { parentPort } from 'node:worker_threads';
import { giveSpareMemoryBack } from '../linux/spare-memory.ts';
import { isMoving } from './moving.ts';

/** Instead of an input: the thread is not needed any more. Not by ending it from outside (child-threads.ts). */
export const NOTHING_TO_DO = 'nothing to do';

/** Whoever waits as long has been loaded for later. */
const SPARE_AFTER_MS = 3000;

/**
 * The first message to this thread. A thread that is not needed ends here.
 * @param leave - before it ends: threads that it has started, and that may still load, must not be ended with it
 */
export async function takeInput<T>(leave?: () => Promise<void>): Promise<T> {
  const idle = setInterval(() => {
    // It takes a tenth of a second, in which a switchover might want this thread, or memory.
    if (isMoving()) return;
    clearInterval(idle);
    giveSpareMemoryBack();
  }, SPARE_AFTER_MS);
  const [input] = (await once(parentPort!, 'message')) as [T | typeof NOTHING_TO_DO];
  clearInterval(idle);
  if (input !== NOTHING_TO_DO) return input;
  await leave?.();
  process.exit();
}

/** Threads that still load are never ended from outside: in processes of their own, which that would end. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

const MODULES = import.meta.dirname;

/** Starts threads of its own, and is told while they load that it is not needed. */
const OWNER = `
  const { keepThreads, endThreads } = await import('file://${MODULES}/child-threads.ts');
  const { takeInput } = await import('file://${MODULES}/thread-input.ts');
  const { parentPort } = await import('node:worker_threads');
  keepThreads('page-channel-worker', 3);
  parentPort.postMessage('started');
  await takeInput(endThreads);`;

const PROCESS = `
  import { once } from 'node:events';
  import { setTimeout as delay } from 'node:timers/promises';
  import { Worker } from 'node:worker_threads';
  const { NOTHING_TO_DO } = await import('file://${MODULES}/thread-input.ts');
  for (let afterMs = 40; afterMs < 340; afterMs += 25) {
    const owner = new Worker(new URL('data:text/javascript,' + encodeURIComponent(process.argv[1])));
    await once(owner, 'message');
    await delay(afterMs);
    owner.postMessage(NOTHING_TO_DO);
    await once(owner, 'exit');
  }
  console.log('alive');`;

test('a thread that is not needed ends after those that it has started, whatever they are at', () => {
  const output = execFileSync(process.execPath, ['-e', PROCESS, OWNER], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  expect(output).toBe('alive\n');
}, 60_000);

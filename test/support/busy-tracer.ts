/** A thread that stops a process again and again, for tests of who else does. */
import { parentPort, workerData } from 'node:worker_threads';
import { X64_SYSCALLS } from '../../src/linux/abi/syscalls.ts';
import { withStoppedThread } from '../../src/linux/ptrace.ts';

const { pid, times } = workerData as { readonly pid: number; readonly times: number };
for (let i = 0; i < times; i++) withStoppedThread(pid, (thread) => thread.systemCall(X64_SYSCALLS.close, -1));
parentPort!.postMessage('done');

/** A process that makes another one run system calls without end, until it is killed: `injector.ts PID`. */
import { X64_SYSCALLS } from '../../src/linux/abi/syscalls.ts';
import { withStoppedThread } from '../../src/linux/ptrace.ts';
import { raw } from '../../src/linux/raw.ts';

const pid = Number(process.argv[2]);
const inject = () =>
  withStoppedThread(pid, (thread) => {
    for (let i = 0; i < 2; i++) thread.systemCall(X64_SYSCALLS.close, -1);
  });
inject();
process.stdout.write('ready\n');
for (;;) {
  inject();
  // SAFETY: no memory; blocks. The other one has to run as well, and this is real-time while it injects.
  raw.usleep(100);
}

/** A process that traces another one and is killed while that one stands still: `dying-tracer.ts PID MOMENT`. */
import { X64_SYSCALLS } from '../../src/linux/abi/syscalls.ts';
import { Attachment } from '../../src/linux/attachment.ts';
import { withStoppedThread } from '../../src/linux/ptrace.ts';
import { lookAtThread } from '../../src/linux/traced-thread.ts';

export type Moment = keyof typeof MOMENTS;

const die = () => process.kill(process.pid, 'SIGKILL');
const MOMENTS = {
  'is interrupted': (pid: number) => {
    new Attachment(pid).interrupt();
    die();
  },
  'begins or ends a system call': (pid: number) => {
    const attachment = new Attachment(pid);
    attachment.interrupt();
    attachment.resumeUntilCall(die);
  },
  'has run ours': (pid: number) => {
    withStoppedThread(pid, (thread) => {
      thread.systemCall(X64_SYSCALLS.close, -1);
      die();
    });
  },
  'is to be given a signal': (pid: number) => {
    void new Attachment(pid);
    process.kill(pid, SIGRTMIN);
    while (lookAtThread(pid).kind !== 'signal');
    die();
  },
};
const SIGRTMIN = 34;

MOMENTS[process.argv[3] as Moment](Number(process.argv[2]));

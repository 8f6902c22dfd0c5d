/**
 * A program that slows a process and then waits to be killed or stopped by the test that started it:
 * `throttle-owner.ts PID TID NAME MECHANISM PERCENT`. Says `ready` when the slowdown is set. A line on standard input
 * makes its event loop hang.
 */
import { openVcpuThrottle, type ThrottleMechanism } from '../../src/linux/cpu-bandwidth.ts';

const [pid, tid, name = '', mechanism = '', percent] = process.argv.slice(2);
const throttle = openVcpuThrottle({
  pid: Number(pid),
  tids: [Number(tid)],
  name,
  mechanisms: [mechanism as ThrottleMechanism],
});
throttle.set(Number(percent));
process.stdout.write('ready\n');
process.stdin.on('data', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8000));

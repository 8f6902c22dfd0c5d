/**
 * The thread that looks through the memory of VMs.
 *
 * Owns: when a VM's turn is. Must hold: no more than a hundredth of a CPU goes into a VM, but for its first time.
 */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { explain } from '../base/errors.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import type { ScannerInput, ScannerOrder, ScannerReport } from './content-scanner.ts';
import { parseKey } from './fingerprint-keys.ts';
import { forgetScanned, type LiveVm, listScanned, removeHalfScanned, scanVm } from './live-contents.ts';
import { takeInput } from './thread-input.ts';

/** A VM that does anything has other contents by then. */
const SHORTEST_PAUSE_MS = 60_000;
/** Pauses are so many times as long as looking took. */
const PAUSE_FACTOR = 100;
const LAST_NICE = 19;

const { directory, key, stop } = await takeInput<ScannerInput>();
const fingerprint = new PageFingerprint(parseKey(key)!);
removeHalfScanned(directory);
/** When each is due, by its process; those that were there when the VMs were told last. */
let due = new Map<string, number>();

setPriority(0, LAST_NICE);
for (const vm of listScanned(directory)) forgetScanned(directory, vm);

parentPort!.on('message', (order: ScannerOrder | 'stop') => {
  if (order === 'stop') {
    parentPort!.close();
    return;
  }
  let report: ScannerReport = { kind: 'done' };
  try {
    look(order);
  } catch (error) {
    report = { kind: 'failed', reason: explain(error) };
  }
  parentPort!.postMessage(report);
});

function look({ vms }: ScannerOrder): void {
  const names = new Set(vms.map(nameOf));
  for (const vm of listScanned(directory)) if (!names.has(nameOf(vm))) forgetScanned(directory, vm);
  const before = due;
  due = new Map(vms.map((vm) => [nameOf(vm), before.get(nameOf(vm)) ?? 0]));
  for (const vm of vms) {
    const name = nameOf(vm);
    const startedMs = performance.now();
    if (vm.isMoving || !before.has(name) || due.get(name)! > startedMs) continue;
    // Also for one that fails: it is not tried all the time.
    due.set(name, startedMs + SHORTEST_PAUSE_MS);
    scanVm(directory, vm, fingerprint, endIfTold);
    const endedMs = performance.now();
    due.set(name, endedMs + Math.max(SHORTEST_PAUSE_MS, (endedMs - startedMs) * PAUSE_FACTOR));
  }
}

/** In the middle of a VM, too: the daemon waits. */
function endIfTold(): void {
  if (Atomics.load(stop, 0) !== 0) process.exit();
}

function nameOf({ pid, startTicks }: LiveVm): string {
  return `${pid}-${startTicks}`;
}

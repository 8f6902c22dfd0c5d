/**
 * Watches from outside that no VM runs at two hosts: by the CPU time that the vCPUs of all their QEMUs take.
 *
 * Must hold: a VM that stands still takes none; in the look in which a VM changed hosts both may have run, in the next
 * one not.
 */
import { readFileSync } from 'node:fs';
import { listThreads, readCommandLine } from '../../../src/linux/process.ts';
import type { ReachedHost } from '../host-pair.ts';
import { listQemus } from '../traces.ts';

const LOOK_EVERY_MS = 100;
const RUNNING_MS = 1;
/** Looks one after the other. */
const TOO_MANY = 2;

export class OwnerWatch implements Disposable {
  readonly doubles: string[] = [];
  readonly #hosts: readonly ReachedHost[];
  readonly #timer: NodeJS.Timeout;
  #before = new Map<number, number>();
  readonly #together = new Map<string, number>();

  constructor(hosts: readonly ReachedHost[]) {
    this.#hosts = hosts;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = new Map<number, number>();
    const running = new Map<string, number[]>();
    for (const pid of this.#hosts.flatMap(listQemus)) {
      const seen = vcpus(pid);
      if (!seen) continue;
      now.set(pid, seen.ms);
      const before = this.#before.get(pid);
      if (before !== undefined && seen.ms - before > RUNNING_MS) {
        running.set(seen.vm, [...(running.get(seen.vm) ?? []), pid]);
      }
    }
    this.#before = now;
    for (const vm of [...this.#together.keys()]) if (!((running.get(vm)?.length ?? 0) > 1)) this.#together.delete(vm);
    for (const [vm, pids] of running) {
      if (pids.length < 2) continue;
      const looks = (this.#together.get(vm) ?? 0) + 1;
      this.#together.set(vm, looks);
      if (looks === TOO_MANY) this.doubles.push(`VM ${vm} runs in processes ${pids.join(' and ')}`);
    }
  }
}

/** undefined: it has just ended. */
function vcpus(pid: number): { readonly vm: string; readonly ms: number } | undefined {
  try {
    const vm = /\/vms\/([^/]+)\//.exec(readCommandLine(pid).join(' '))?.[1];
    if (vm === undefined) return undefined;
    const own = listThreads(pid).filter(({ name }) => name.startsWith('CPU '));
    const ns = own.map(({ tid }) => Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]));
    return { vm, ms: ns.reduce((sum, each) => sum + each, 0) / 1e6 };
  } catch {
    return undefined;
  }
}

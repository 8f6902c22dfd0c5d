/**
 * The control groups that slow a VM's vCPU threads.
 *
 * Owns: for every group that vCPU threads are found in, one directory `godwit@VM@PID.START.THREAD.NUMBER` below it
 * (PID and START name the process that made it, the rest makes the name unique), and in that one per vCPU thread.
 * Must hold: only the given threads are moved; every thread goes back to the group *above* the directory, which is
 * where it came from; removing is idempotent and may be done by anybody (the owner, its watchdog, the next daemon).
 *
 * Each vCPU has a group of its own, because bandwidth belongs to a group: in a shared one a single busy vCPU would use
 * up the time of the idle ones and not be slowed at all. The directory around them is limited as well where the vCPUs
 * have fewer CPUs than they are, because then they are slowed by each other before the own limit of each is reached.
 */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';
import { type CpuController, effectiveLimit, writeControl } from './cgroup.ts';
import { identifyProcess, isAlive, type ProcessIdentity } from './process.ts';

const PREFIX = 'godwit@';
/** A thread that is just ending keeps its group busy for a moment. */
const REMOVE_ATTEMPTS = 10;
const REMOVE_PAUSE_MS = 5;

/** Never reused: the watchdog of an earlier throttle may still be taking that one's directory down. */
let created = 0;

interface Root {
  readonly directory: string;
  readonly vcpus: readonly string[];
  /** How many CPUs its vCPUs can have together while they are not slowed. */
  readonly cpus: number;
}

export class CpuThrottleGroups {
  readonly #controller: CpuController;
  #roots: Root[] = [];

  /** Makes the groups and moves the threads, without a limit yet. Leaves nothing behind when it throws. */
  constructor(controller: CpuController, pid: number, tids: readonly number[], vm: string) {
    this.#controller = controller;
    try {
      for (const [origin, own] of byOrigin(controller, pid, tids)) {
        const directory = createRoot(controller, origin, vm);
        const vcpus = own.map((tid) => join(directory, `vcpu-${tid}`));
        const share = (availableParallelism() * own.length) / tids.length;
        const cpus = Math.min(own.length, share, effectiveLimit(controller, origin));
        this.#roots.push({ directory, vcpus, cpus });
        // A group weighs as much as one thread unless told otherwise.
        controller.writeWeight(directory, own.length);
        for (const [index, tid] of own.entries()) {
          controller.createGroup(vcpus[index]!);
          writeControl(join(vcpus[index]!, controller.threadsFile), String(tid));
        }
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** The outermost directories. */
  get directories(): string[] {
    return this.#roots.map((root) => root.directory);
  }

  /** Leaves every vCPU so many percent of the time that it could have. */
  limit(percent: number): void {
    const controller = this.#controller;
    for (const { directory, vcpus, cpus } of this.#roots) {
      const remaining = percent / 100;
      // No group may be given more than the one around it, so that is opened first and narrowed last.
      controller.writeLimit(directory, undefined);
      for (const vcpu of vcpus)
        controller.writeLimit(vcpu, percent === 100 ? undefined : remaining * Math.min(1, cpus));
      if (percent < 100 && cpus < vcpus.length) controller.writeLimit(directory, remaining * cpus);
    }
  }

  /** Full speed, threads where they came from, directories gone. Never throws; idempotent. */
  remove(): void {
    for (const directory of this.directories) removeThrottleGroup(this.#controller, directory);
    this.#roots = [];
  }
}

/** The directories of a VM's throttle, anywhere in the hierarchy, whose owner has ended. */
export function findStaleGroups(controller: CpuController, vm: string): string[] {
  const found: string[] = [];
  const visit = (directory: string) => {
    for (const name of listGroups(directory)) {
      const path = join(directory, name);
      const owner = ownerOf(name, vm);
      if (owner === undefined) visit(path);
      else if (!isAlive(owner)) found.push(path);
    }
  };
  visit(controller.mountPoint);
  return found;
}

/** Lifts the limits of a throttle's directory, moves its threads to the group above, removes it. Never throws. */
export function removeThrottleGroup(controller: CpuController, directory: string): void {
  const origin = dirname(directory);
  // The directory first: with it every vCPU in it is free of the common limit at once.
  const groups = [directory, ...listGroups(directory).map((name) => join(directory, name))];
  for (const group of groups) ifPossible(() => controller.writeLimit(group, undefined));
  for (const group of groups) {
    for (const tid of readThreads(controller, group)) {
      ifPossible(() => writeControl(join(origin, controller.threadsFile), tid));
    }
  }
  for (const group of groups.reverse()) removeDirectory(group);
}

function byOrigin(controller: CpuController, pid: number, tids: readonly number[]): Map<string, number[]> {
  const origins = new Map<string, number[]>();
  for (const tid of tids) {
    const origin = originOf(controller, pid, tid);
    origins.set(origin, [...(origins.get(origin) ?? []), tid]);
  }
  return origins;
}

function originOf(controller: CpuController, pid: number, tid: number): string {
  const group = controller.groupOf(pid, tid);
  if (group === undefined) {
    const reason = `thread ${tid} is in no group below ${controller.mountPoint}`;
    throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'CPU limits with cgroups', reason });
  }
  // Still in a throttle's group: of another daemon that lives, or left over from one that does not.
  const at = group.split('/').findIndex((name) => name.startsWith(PREFIX));
  if (at < 0) return group;
  const directory = group
    .split('/')
    .slice(0, at + 1)
    .join('/');
  const owner = ownerOf(directory.slice(directory.lastIndexOf('/') + 1));
  if (owner !== undefined && isAlive(owner)) {
    throw new GodwitError('GW_CONFLICT', {
      kind: 'thread',
      name: tid,
      reason: `process ${owner.pid} slows it already`,
    });
  }
  removeThrottleGroup(controller, directory);
  return dirname(directory);
}

function createRoot(controller: CpuController, origin: string, vm: string): string {
  const self = identifyProcess(process.pid)!;
  created += 1;
  const name = `${PREFIX}${encodeURIComponent(vm)}@${self.pid}.${self.startTicks}.${threadId}.${created}`;
  const directory = join(origin, name);
  try {
    controller.createGroup(directory);
  } catch (error) {
    removeDirectory(directory);
    throw error;
  }
  return directory;
}

/** The process that made the group of this name; undefined when it is no throttle's group (of this VM, if given). */
function ownerOf(name: string, vm?: string): ProcessIdentity | undefined {
  const fields = /^godwit@([^@]*)@(\d+)\.(\d+)\.\d+\.\d+$/.exec(name);
  if (fields === null || (vm !== undefined && fields[1] !== encodeURIComponent(vm))) return undefined;
  return { pid: Number(fields[2]), startTicks: Number(fields[3]) };
}

function listGroups(directory: string): string[] {
  const entries = ifPossible(() => readdirSync(directory, { withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function readThreads(controller: CpuController, group: string): string[] {
  const text = ifPossible(() => readFileSync(join(group, controller.threadsFile), 'utf8')) ?? '';
  return text.split('\n').filter((line) => line !== '');
}

function removeDirectory(directory: string): void {
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt++) {
    try {
      rmdirSync(directory);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_PAUSE_MS);
  }
}

/**
 * For taking down, where each step is worth trying whatever became of the one before: undefined when the thread or the
 * group has gone meanwhile, or the kernel refuses.
 */
function ifPossible<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

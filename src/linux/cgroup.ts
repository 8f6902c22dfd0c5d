/**
 * The control groups of this host that can limit CPU time: the `cpu` controller of version 1, and version 2.
 *
 * Owns: nothing; it reads /proc and writes control files when told to. Directories belong to cpu-throttle-groups.ts.
 * Must hold: a group is named by its absolute directory; a limit is a number of CPUs (0.5 is half of one CPU's time,
 * undefined no limit), never a raw quota.
 * Version 2 as its documentation says: threads of one process part ways in *threaded* groups below the group of the
 * process, where `+cpu` is switched on and left on (it costs nothing). Moving threads through threaded groups was tried
 * on a real version 2 hierarchy; its cpu.max was not, because the development machine has the cpu controller on
 * version 1. Opening a throttle tries every step, so an unsuitable hierarchy is refused there with the kernel's reason.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html#threads, https://docs.kernel.org/scheduler/sched-bwc.html
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GodwitError } from '../base/errors.ts';

/** Short, so that a slowed vCPU never stands still for long (QMP waits for it when it holds QEMU's big lock). */
const PERIOD_MICROSECONDS = 20_000;
/** The kernel's own bounds (kernel/sched/core.c: min_cfs_quota_period, max_cfs_quota_period). */
const MIN_QUOTA_MICROSECONDS = 1000;
const MAX_PERIOD_MICROSECONDS = 1_000_000;
/** What one thread of ordinary niceness weighs, and the most that may be given. */
const V1_THREAD_SHARES = 1024;
const V2_THREAD_WEIGHT = 100;
const V2_MAX_WEIGHT = 10_000;

export interface CpuController {
  readonly mechanism: 'cgroup-v1' | 'cgroup-v2';
  /** The directory of the hierarchy's root group. */
  readonly mountPoint: string;
  /** The file that takes a thread id and lists them. */
  readonly threadsFile: 'tasks' | 'cgroup.threads';
  /** The file, and the word for it, that lifts a limit. */
  readonly limitFile: string;
  readonly unlimited: string;
  /** The group that a thread is in; undefined when it lies outside what is mounted here. */
  groupOf(pid: number, tid: number): string | undefined;
  /** Makes a group for single threads below another. */
  createGroup(directory: string): void;
  readLimit(group: string): number | undefined;
  writeLimit(group: string, cpus: number | undefined): void;
  /** How much a group weighs against single threads beside it when CPUs are short: as much as so many threads. */
  writeWeight(group: string, threads: number): void;
}

/** In microseconds. */
export interface Quota {
  readonly quota: number;
  readonly period: number;
}

interface Mount {
  readonly point: string;
  /** Which part of the hierarchy is mounted: `/` but in containers. */
  readonly root: string;
}

/** What this host has mounted, the one to be tried first in front. */
export function findCpuControllers(): CpuController[] {
  const controllers: CpuController[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    // ID PARENT DEV ROOT POINT OPTIONS… - TYPE SOURCE SUPER_OPTIONS
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', point = ''] = before.split(' ').map(unescapeOctal);
    const [type, , superOptions = ''] = after.split(' ');
    if (type === 'cgroup' && superOptions.split(',').includes('cpu')) controllers.unshift(new CpuV1({ point, root }));
    if (type === 'cgroup2') controllers.push(new CpuV2({ point, root }));
  }
  return controllers;
}

/** The tightest limit of a group and of all those around it. */
export function effectiveLimit(controller: CpuController, group: string): number {
  let cpus = Number.POSITIVE_INFINITY;
  for (let at = group; at.startsWith(`${controller.mountPoint}/`); at = dirname(at)) {
    cpus = Math.min(cpus, controller.readLimit(at) ?? cpus);
  }
  return cpus;
}

/** Quota and period that give a thread or group so many CPUs: the period grows until the quota is allowed. */
export function computeQuota(cpus: number): Quota {
  const wanted = Math.ceil(MIN_QUOTA_MICROSECONDS / cpus);
  const period = Math.min(Math.max(PERIOD_MICROSECONDS, wanted), MAX_PERIOD_MICROSECONDS);
  return { quota: Math.max(MIN_QUOTA_MICROSECONDS, Math.round(cpus * period)), period };
}

/** Writes a control file that exists. Throws GW_SYS_CALL with the kernel's reason. */
export function writeControl(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'r+' });
  } catch (error) {
    throw controlError(`write ${JSON.stringify(text)} to ${path}`, error);
  }
}

/** What both versions do alike. */
abstract class CpuHierarchy {
  abstract readonly limitFile: string;
  abstract readonly unlimited: string;
  readonly mountPoint: string;
  readonly #root: string;

  constructor({ point, root }: Mount) {
    this.mountPoint = point;
    this.#root = root;
  }

  groupOf(pid: number, tid: number): string | undefined {
    const path = cgroupPath(pid, tid, (controllers) => this.isListedAs(controllers));
    return belowMount(this.mountPoint, this.#root, path);
  }

  writeLimit(group: string, cpus: number | undefined): void {
    if (cpus === undefined) writeControl(join(group, this.limitFile), this.unlimited);
    else this.writeQuota(group, computeQuota(cpus));
  }

  /** Whether the line of /proc/PID/cgroup with these controllers is that of this hierarchy. */
  protected abstract isListedAs(controllers: string): boolean;
  protected abstract writeQuota(group: string, quota: Quota): void;
}

class CpuV1 extends CpuHierarchy implements CpuController {
  readonly mechanism = 'cgroup-v1';
  readonly threadsFile = 'tasks';
  readonly limitFile = 'cpu.cfs_quota_us';
  readonly unlimited = '-1';

  createGroup(directory: string): void {
    makeGroup(directory);
  }

  readLimit(group: string): number | undefined {
    // The root group of the hierarchy has no limit, and these files only in some kernels.
    const quota = Number(readControl(join(group, 'cpu.cfs_quota_us')) ?? -1);
    return quota < 0 ? undefined : quota / Number(readControl(join(group, 'cpu.cfs_period_us')));
  }

  writeWeight(group: string, threads: number): void {
    writeControl(join(group, 'cpu.shares'), String(threads * V1_THREAD_SHARES));
  }

  protected isListedAs(controllers: string): boolean {
    return controllers.split(',').includes('cpu');
  }

  protected writeQuota(group: string, { quota, period }: Quota): void {
    const periodFile = join(group, 'cpu.cfs_period_us');
    if (Number(readControl(periodFile)) !== period) {
      // Each write alone is checked against the group above, so no old quota may meet a new period.
      writeControl(join(group, this.limitFile), this.unlimited);
      writeControl(periodFile, String(period));
    }
    writeControl(join(group, this.limitFile), String(quota));
  }
}

class CpuV2 extends CpuHierarchy implements CpuController {
  readonly mechanism = 'cgroup-v2';
  readonly threadsFile = 'cgroup.threads';
  readonly limitFile = 'cpu.max';
  readonly unlimited = 'max';

  createGroup(directory: string): void {
    const parent = dirname(directory);
    const offered = readControl(join(parent, 'cgroup.controllers'))?.split(/\s+/) ?? [];
    if (!offered.includes('cpu')) {
      throw new GodwitError('GW_SYS_UNSUPPORTED', {
        feature: 'CPU limits with cgroup v2',
        reason: `the group ${parent} does not have the cpu controller`,
      });
    }
    makeGroup(directory);
    writeControl(join(directory, 'cgroup.type'), 'threaded');
    // Only now: a group with processes may hand on controllers once it has a threaded group below it.
    writeControl(join(parent, 'cgroup.subtree_control'), '+cpu');
  }

  readLimit(group: string): number | undefined {
    const [quota = 'max', period = '100000'] = readControl(join(group, 'cpu.max'))?.split(/\s+/) ?? [];
    return quota === 'max' ? undefined : Number(quota) / Number(period);
  }

  writeWeight(group: string, threads: number): void {
    writeControl(join(group, 'cpu.weight'), String(Math.min(threads * V2_THREAD_WEIGHT, V2_MAX_WEIGHT)));
  }

  protected isListedAs(controllers: string): boolean {
    return controllers === '';
  }

  protected writeQuota(group: string, { quota, period }: Quota): void {
    writeControl(join(group, this.limitFile), `${quota} ${period}`);
  }
}

function makeGroup(directory: string): void {
  try {
    mkdirSync(directory);
  } catch (error) {
    throw controlError(`mkdir ${directory}`, error);
  }
}

/** Undefined where there is no such file. */
function readControl(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENODEV') return undefined;
    throw controlError(`read ${path}`, error);
  }
}

/** The path that /proc/PID/task/TID/cgroup (lines `ID:CONTROLLERS:PATH`) gives for the wanted hierarchy. */
function cgroupPath(pid: number, tid: number, wanted: (controllers: string) => boolean): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/task/${tid}/cgroup`, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: tid });
    throw error;
  }
  for (const line of text.split('\n')) {
    const fields = /^\d+:([^:]*):(.*)$/.exec(line);
    if (fields !== null && wanted(fields[1]!)) return fields[2];
  }
  return undefined;
}

function belowMount(point: string, root: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (root === '/') return join(point, path);
  return path === root || path.startsWith(`${root}/`) ? join(point, path.slice(root.length)) : undefined;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function controlError(call: string, error: unknown): GodwitError {
  return new GodwitError('GW_SYS_CALL', { call, errno: (error as NodeJS.ErrnoException).code ?? 'unknown' });
}

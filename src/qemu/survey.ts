/**
 * All about one running VM that a migration from here needs, with what stands in its way.
 *
 * Owns: nothing; asks QEMU and /proc once.
 */
import { listOpenFiles, readCommandLine, readWorkingDirectory } from '../linux/process.ts';
import type { Blocker } from './blocker.ts';
import { findBlockers } from './blockers.ts';
import { inspectVm, type VmFacts } from './facts.ts';
import type { QmpClient } from './qmp.ts';
import { inspectRam, type RamBackend } from './ram.ts';

export interface VmSurvey {
  readonly facts: VmFacts;
  readonly ram: readonly RamBackend[];
  /** As QEMU was started, without the binary. */
  readonly args: readonly string[];
  /** What QEMU was started as (argv[0]). */
  readonly binary: string;
  readonly workingDirectory: string;
  readonly blockers: readonly Blocker[];
}

export async function surveyVm(qmp: QmpClient, pid: number): Promise<VmSurvey> {
  const [facts, ram] = await Promise.all([inspectVm(qmp), inspectRam(qmp, pid)]);
  const [binary = '', ...args] = readCommandLine(pid);
  const openPaths = listOpenFiles(pid).map((file) => file.path);
  const blockers = findBlockers(facts, args, ram, openPaths);
  return { facts, ram, args, binary, workingDirectory: readWorkingDirectory(pid), blockers };
}

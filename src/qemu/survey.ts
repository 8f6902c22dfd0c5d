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
import { distinctRegions, type SharedRegion, sharedRegions } from './shared-memory.ts';

export interface VmSurvey {
  readonly facts: VmFacts;
  /** Its own, without what it shares. */
  readonly ram: readonly RamBackend[];
  /** Memory that it shares with other VMs: it moves with their group. */
  readonly regions: readonly SharedRegion[];
  /** As QEMU was started, without the binary. */
  readonly args: readonly string[];
  /** What QEMU was started as (argv[0]). */
  readonly binary: string;
  readonly workingDirectory: string;
  readonly blockers: readonly Blocker[];
}

export async function surveyVm(qmp: QmpClient, pid: number): Promise<VmSurvey> {
  const [facts, memory] = await Promise.all([inspectVm(qmp), inspectRam(qmp, pid)]);
  const [binary = '', ...args] = readCommandLine(pid);
  const openPaths = listOpenFiles(pid).map((file) => file.path);
  const blockers = findBlockers(facts, args, memory, openPaths);
  const regions = distinctRegions(sharedRegions(memory.shared));
  return { facts, ram: memory.ram, regions, args, binary, workingDirectory: readWorkingDirectory(pid), blockers };
}

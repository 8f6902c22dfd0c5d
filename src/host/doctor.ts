/** The probes of `godwit doctor`. */
import { type Probe, runProbes } from '../linux/probe.ts';
import { probeQemuBinary } from '../qemu/binary.ts';

export function runDoctor(qemuBinaries: readonly string[]): Promise<readonly Probe[]> {
  return runProbes({ qemuBinaries, askQemu: probeQemuBinary });
}

/** The probes of `godwit doctor`. */
import { type Probe, runProbes } from '../linux/probe.ts';
import { probeQemuBinary } from '../qemu/binary.ts';
import { probeTls } from './tls-probe.ts';

/** @param tlsDirectory - where the host's certificate is looked for */
export async function runDoctor(qemuBinaries: readonly string[], tlsDirectory: string): Promise<readonly Probe[]> {
  const probes = await runProbes({ qemuBinaries, askQemu: probeQemuBinary });
  return [...probes, probeTls(tlsDirectory, Date.now())];
}

/**
 * What the guest sees of its CPU, as the bits of CPUID, and the difference between two.
 *
 * QEMU's `feature-words` (target/i386/cpu.c) are compared as a whole: a guest crashes where it uses a bit that the
 * destination lacks, and one that has looked already never expects a bit more.
 */
import type { QmpClient } from './qmp.ts';
import { askQemu } from './qmp-ask.ts';

export interface CpuFeatureWord {
  /** CPUID leaf and register, such as `0x1.ECX` or `0x7:0.EBX`. */
  readonly register: string;
  readonly bits: number;
}

interface FeatureWordEntry {
  readonly 'cpuid-register': string;
  readonly 'cpuid-input-eax': number;
  readonly 'cpuid-input-ecx'?: number;
  readonly features: number;
}

/** Empty when QEMU does not tell (other architectures). Ordered by register, zero words left out. */
export async function readCpuFeatures(qmp: QmpClient, cpuPath: string): Promise<CpuFeatureWord[]> {
  const words = await askQemu<FeatureWordEntry[]>(qmp, 'qom-get', { path: cpuPath, property: 'feature-words' });
  return (words ?? [])
    .filter((word) => word.features !== 0)
    .map((word) => ({ register: nameRegister(word), bits: word.features }))
    .sort((a, b) => a.register.localeCompare(b.register));
}

/** What the destination lacks and what it has more, one text per register; empty when the guest sees no difference. */
export function compareCpuFeatures(
  source: readonly CpuFeatureWord[],
  destination: readonly CpuFeatureWord[],
): string[] {
  const there = new Map(destination.map((word) => [word.register, word.bits]));
  const here = new Map(source.map((word) => [word.register, word.bits]));
  return [...new Set([...here.keys(), ...there.keys()])].sort().flatMap((register) => {
    const ours = BigInt(here.get(register) ?? 0);
    const theirs = BigInt(there.get(register) ?? 0);
    return [...describe(register, 'lacks', ours & ~theirs), ...describe(register, 'has in addition', theirs & ~ours)];
  });
}

function describe(register: string, verb: string, bits: bigint): string[] {
  if (bits === 0n) return [];
  const numbers = [...Array(32).keys()].filter((bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
  return [`CPUID ${register} ${verb} bit ${numbers.join(', ')}`];
}

function nameRegister(word: FeatureWordEntry): string {
  const leaf = `0x${word['cpuid-input-eax'].toString(16)}`;
  const subleaf = word['cpuid-input-ecx'];
  return `${leaf}${subleaf === undefined ? '' : `:${subleaf}`}.${word['cpuid-register']}`;
}

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

/** One word as text, the form in which hosts tell each other of it. */
export function printCpuFeature({ register, bits }: CpuFeatureWord): string {
  return JSON.stringify({ register, bits });
}

/** undefined for what is no such text: it comes from another host. */
export function parseCpuFeature(text: string): CpuFeatureWord | undefined {
  const [, register, digits] =
    /^\{"register":"(0x[0-9a-f]{1,8}(?::\d{1,10})?\.E[ABCD]X)","bits":(\d{1,10})\}$/.exec(text) ?? [];
  const bits = Number(digits);
  return register === undefined || bits > 0xffff_ffff ? undefined : { register, bits };
}

/**
 * What the destination lacks and what it has more, one text for each way; empty when the guest sees no difference, and
 * when one of the two is not known at all. A register that is not in a list has no bit.
 */
export function compareCpuFeatures(
  source: readonly CpuFeatureWord[],
  destination: readonly CpuFeatureWord[],
): string[] {
  if (source.length === 0 || destination.length === 0) return [];
  const there = new Map(destination.map((word) => [word.register, word.bits]));
  const here = new Map(source.map((word) => [word.register, word.bits]));
  const registers = [...new Set([...here.keys(), ...there.keys()])].sort();
  const describe = (
    verb: string,
    from: ReadonlyMap<string, number>,
    without: ReadonlyMap<string, number>,
  ): string[] => {
    const found = registers.flatMap((register) =>
      describeBits(register, BigInt(from.get(register) ?? 0) & ~BigInt(without.get(register) ?? 0)),
    );
    return found.length === 0 ? [] : [`${verb} CPUID ${found.join(', ')}`];
  };
  return [...describe('lacks', here, there), ...describe('has in addition', there, here)];
}

function describeBits(register: string, bits: bigint): string[] {
  if (bits === 0n) return [];
  const numbers = [...Array(32).keys()].filter((bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
  return [`${register} bit ${numbers.join('+')}`];
}

function nameRegister(word: FeatureWordEntry): string {
  const leaf = `0x${word['cpuid-input-eax'].toString(16)}`;
  const subleaf = word['cpuid-input-ecx'];
  return `${leaf}${subleaf === undefined ? '' : `:${subleaf}`}.${word['cpuid-register']}`;
}

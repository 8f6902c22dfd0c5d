/**
 * What this host's VMs have in common, as the API shows it.
 *
 * Must hold: memory that VMs share is told apart from memory that is equal; a VM that cannot be looked at is left out with the reason. All
 * memory is looked through for one at a time: it takes a CPU for a while.
 */
import { existsSync } from 'node:fs';
import type { CommonalityView } from '../api/commonality-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { type GrainCommonality, measureCommonality } from '../migration/commonality-thread.ts';
import { samplesPathIn } from '../migration/live-contents.ts';
import type { Vm } from './vm.ts';

export interface CommonalityPort {
  readonly hostName: string;
  readonly contentsDirectory: string;
  /** Whether there is a scanner, and so samples. */
  readonly looksThrough: boolean;
  vms(): readonly Vm[];
}

export class Commonality {
  readonly #port: CommonalityPort;
  /** Whoever asks for the same meanwhile gets the same. */
  readonly #asked = new Map<boolean, Promise<CommonalityView>>();

  constructor(port: CommonalityPort) {
    this.#port = port;
  }

  /** @throws GW_CONFLICT without samples; GW_INTERNAL */
  async view(isExact: boolean): Promise<CommonalityView> {
    const { hostName, looksThrough } = this.#port;
    if (!isExact && !looksThrough) {
      const reason = 'it makes no samples of memory without a fleetKeyFile: give it one, or ask for `exact`';
      throw new GodwitError('GW_CONFLICT', { kind: 'Host', name: hostName, reason });
    }
    const asked = this.#asked.get(isExact) ?? this.#measure(isExact).finally(() => this.#asked.delete(isExact));
    this.#asked.set(isExact, asked);
    return await asked;
  }

  async #measure(isExact: boolean): Promise<CommonalityView> {
    const { hostName, contentsDirectory } = this.#port;
    const all = this.#port.vms().map((vm) => ({ vm, reason: this.#reasonAgainst(vm, isExact) }));
    const vms = all.flatMap(({ vm, reason }) => (reason === null ? [vm] : []));
    const samplesIn = isExact ? null : contentsDirectory;
    const identities = vms.map(({ record: { pid, startTicks } }) => ({ pid, startTicks }));
    const grains = await measureCommonality({ vms: identities, samplesIn });
    const left = isExact ? vms.find(({ migration, hasEnded }) => migration !== null || hasEnded) : undefined;
    if (left) {
      const reason = `VM ${left.name} has begun to move, or has ended, while its memory was looked through: ask again`;
      throw new GodwitError('GW_CONFLICT', { kind: 'Host', name: hostName, reason });
    }
    return {
      host: hostName,
      atMs: Date.now(),
      isExact,
      vms: vms.map(({ name }) => name),
      leftOut: all.flatMap(({ vm, reason }) => (reason === null ? [] : [{ vm: vm.name, reason }])),
      grains: grains.map(viewOfGrain),
      sameMemory: sameMemoryOf(vms),
    };
  }

  #reasonAgainst(vm: Vm, isExact: boolean): string | null {
    const { pid, startTicks } = vm.record;
    // Its pages may be elsewhere: whoever reads them would find zeros.
    if (vm.migration !== null) return 'a migration has it';
    if (isExact) return vm.hasEnded ? 'it has ended' : null;
    const isLookedThrough = existsSync(samplesPathIn(this.#port.contentsDirectory, { pid, startTicks }));
    return isLookedThrough ? null : 'it has not been looked through yet: ask again in a while, or for `exact`';
  }
}

function viewOfGrain({ grainBytes, sampledOf, common, refuted }: GrainCommonality): CommonalityView['grains'][number] {
  const bytes = sampledOf * grainBytes;
  const error = (count: number): number => Math.sqrt(count * (sampledOf - 1) * sampledOf) * grainBytes;
  return {
    grainBytes,
    common: common.map((row) => [...row].map((count) => count * bytes)),
    standardError: common.map((row) => [...row].map(error)),
    refuted,
  };
}

function sameMemoryOf(vms: readonly Vm[]): number[][] {
  const regions = vms.map((vm) => new Map(vm.view().sharedMemory.map(({ name, sizeBytes }) => [name, sizeBytes])));
  return regions.map((own) =>
    regions.map((others) => [...own].reduce((sum, [name, bytes]) => sum + (others.has(name) ? bytes : 0), 0)),
  );
}

/**
 * Which VMs leave busy hosts, and for where (V1).
 *
 * Owns: the policy. Pure. Must hold: after the moves no host is busier than the busiest was, and none that gets a VM is near
 * being busy, so that nothing is moved back by the next look; what was moved just now has the time to show what it did.
 *
 * A host's load is the higher of its CPUs' and its memory's part in use, each relative to its threshold. From 1 on it is busy,
 * and until it has fallen below `calmLoad` (hysteresis).
 */
export interface BalancePolicy {
  /** Parts in use from which on a host is busy. */
  readonly cpuPart: number;
  readonly memoryPart: number;
  /** Below this load a busy host is calm again, and to this load hosts are filled. */
  readonly calmLoad: number;
  /** By so much a move must lower the higher load of both hosts. */
  readonly leastGain: number;
  /** A host that gave or got a VM is left alone for so long. */
  readonly coolDownMs: number;
  /** Of one look. */
  readonly maxMoves: number;
}

export const DEFAULT_BALANCE: BalancePolicy = {
  cpuPart: 0.8,
  memoryPart: 0.85,
  calmLoad: 0.85,
  // Less is within what a minute's mean wavers.
  leastGain: 0.1,
  // Longer than the minute over which the load is a mean, and than most migrations.
  coolDownMs: 600_000,
  maxMoves: 4,
};

export interface BalancedHost {
  readonly name: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** 0 to 1; null: it is not known how busy it is. */
  readonly cpuPart: number | null;
  readonly memoryPart: number | null;
  /** For further VMs. */
  readonly freeBytes: number;
  readonly takesVms: boolean;
  /** When the last look found it so. */
  readonly wasBusy: boolean;
  /** Unix milliseconds; null: never. */
  readonly balancedAtMs: number | null;
}

export interface BalancedVm {
  readonly name: string;
  readonly host: string;
  /** That it uses; null: not known. */
  readonly cpus: number | null;
  readonly dataBytes: number;
  readonly ramBytes: number;
  readonly isMovable: boolean;
}

export type BalanceVerdict = 'busy' | 'calm' | 'between' | 'resting' | 'unknown';

export interface BalanceMove {
  readonly vm: string;
  readonly from: string;
  readonly to: string;
  /** Of both hosts the higher, before and after. */
  readonly loadBefore: number;
  readonly loadAfter: number;
}

export interface Balance {
  readonly hosts: readonly { readonly host: string; readonly load: number | null; readonly verdict: BalanceVerdict }[];
  readonly moves: readonly BalanceMove[];
}

export interface BalanceQuestion {
  readonly nowMs: number;
  readonly hosts: readonly BalancedHost[];
  readonly vms: readonly BalancedVm[];
  readonly policy: BalancePolicy;
  /** A new host, which gets VMs of any that is busier, busy or not; null: only busy hosts lose some. */
  readonly newHost: string | null;
}

/** How a host would be. */
interface Projected {
  readonly host: BalancedHost;
  cpuPart: number;
  memoryPart: number;
  freeBytes: number;
}

export function balance(question: BalanceQuestion): Balance {
  const { hosts, policy } = question;
  const judged = hosts.map((host) => {
    const load = loadOf(host.cpuPart, host.memoryPart, policy);
    return { host: host.name, load, verdict: judge(host, load, question) };
  });
  const verdicts = new Map(judged.map(({ host, verdict }) => [host, verdict]));
  const projected = hosts.flatMap((host): Projected[] => {
    if (host.cpuPart === null || host.memoryPart === null) return [];
    return [{ host, cpuPart: host.cpuPart, memoryPart: host.memoryPart, freeBytes: host.freeBytes }];
  });
  const gives = ({ host }: Projected): boolean => {
    const verdict = verdicts.get(host.name);
    return question.newHost === null ? verdict === 'busy' : verdict !== 'resting' && host.name !== question.newHost;
  };
  const takes = ({ host }: Projected): boolean => {
    if (!host.takesVms || verdicts.get(host.name) === 'busy') return false;
    return question.newHost === null ? verdicts.get(host.name) !== 'resting' : host.name === question.newHost;
  };
  return { hosts: judged, moves: findMoves(question, projected.filter(gives), projected.filter(takes)) };
}

function judge(host: BalancedHost, load: number | null, { nowMs, policy }: BalanceQuestion): BalanceVerdict {
  if (load === null) return 'unknown';
  if (host.balancedAtMs !== null && nowMs - host.balancedAtMs < policy.coolDownMs) return 'resting';
  if (load >= 1 || (host.wasBusy && load >= policy.calmLoad)) return 'busy';
  return load < policy.calmLoad ? 'calm' : 'between';
}

/** One after the other the move that lowers the load most; of equal ones that of the VM with the least to copy. */
function findMoves(
  question: BalanceQuestion,
  giving: readonly Projected[],
  taking: readonly Projected[],
): BalanceMove[] {
  const { vms, policy, newHost } = question;
  const moves: BalanceMove[] = [];
  while (moves.length < policy.maxMoves) {
    const candidates = giving
      .filter((from) => newHost !== null || loadAt(from, policy) >= policy.calmLoad)
      .flatMap((from) => {
        const here = vms.filter(({ name, host, isMovable }) => {
          return host === from.host.name && isMovable && !moves.some(({ vm }) => vm === name);
        });
        return here.flatMap((vm) => taking.map((to) => ({ vm, from, to, move: moveOf(vm, from, to, policy) })));
      })
      .filter(({ vm, from, to, move }) => {
        if (from === to || to.freeBytes < vm.ramBytes) return false;
        return move.loadBefore - move.loadAfter >= policy.leastGain && loadWith(vm, to, policy) < policy.calmLoad;
      });
    const [first, ...others] = candidates;
    if (!first) return moves;
    const best = others.reduce((a, b) => (isBetter(b, a) ? b : a), first);
    moves.push(best.move);
    shift(best.vm, best.from, -1);
    shift(best.vm, best.to, 1);
  }
  return moves;
}

interface Candidate {
  readonly vm: BalancedVm;
  readonly move: BalanceMove;
}

/** Differences below this are none. */
const ALIKE = 0.01;

function isBetter(one: Candidate, other: Candidate): boolean {
  const gain = ({ move }: Candidate): number => move.loadBefore - move.loadAfter;
  if (Math.abs(gain(one) - gain(other)) > ALIKE) return gain(one) > gain(other);
  return one.vm.dataBytes < other.vm.dataBytes;
}

function moveOf(vm: BalancedVm, from: Projected, to: Projected, policy: BalancePolicy): BalanceMove {
  const loadBefore = Math.max(loadAt(from, policy), loadAt(to, policy));
  const without = { ...from };
  shift(vm, without, -1);
  const loadAfter = Math.max(loadAt(without, policy), loadWith(vm, to, policy));
  return { vm: vm.name, from: from.host.name, to: to.host.name, loadBefore, loadAfter };
}

function loadWith(vm: BalancedVm, to: Projected, policy: BalancePolicy): number {
  const having = { ...to };
  shift(vm, having, 1);
  return loadAt(having, policy);
}

function shift({ cpus, dataBytes, ramBytes }: BalancedVm, at: Projected, sign: 1 | -1): void {
  at.cpuPart = Math.max(0, at.cpuPart + (sign * (cpus ?? 0)) / Math.max(1, at.host.cpus));
  at.memoryPart = Math.max(0, at.memoryPart + (sign * dataBytes) / Math.max(1, at.host.memoryBytes));
  at.freeBytes -= sign * ramBytes;
}

function loadAt({ cpuPart, memoryPart }: Projected, policy: BalancePolicy): number {
  return loadOf(cpuPart, memoryPart, policy)!;
}

function loadOf(cpuPart: number | null, memoryPart: number | null, policy: BalancePolicy): number | null {
  if (cpuPart === null || memoryPart === null) return null;
  return Math.max(cpuPart / policy.cpuPart, memoryPart / policy.memoryPart);
}

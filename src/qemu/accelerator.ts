/**
 * Which accelerator `auto` stands for on this host.
 *
 * Must hold: `auto` takes KVM only if /dev/kvm opens and the CPU shows vmx or svm: on machines with a paravirtual KVM
 * the device opens, but an ordinary guest kernel hangs on it. An explicit choice is never overruled.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Accelerator, AcceleratorChoice } from './spec.ts';

export interface KvmFacts {
  /** undefined when /dev/kvm opens; else why not. */
  readonly deviceError: string | undefined;
  readonly cpuFlags: ReadonlySet<string>;
}

export interface AcceleratorDecision {
  readonly accel: Accelerator;
  readonly reason: string;
}

export function chooseAccelerator(wanted: AcceleratorChoice, facts: KvmFacts): AcceleratorDecision {
  if (wanted !== 'auto') return { accel: wanted, reason: 'asked for' };
  if (facts.deviceError !== undefined) return { accel: 'tcg', reason: `/dev/kvm: ${facts.deviceError}` };
  if (!facts.cpuFlags.has('vmx') && !facts.cpuFlags.has('svm')) {
    return { accel: 'tcg', reason: '/dev/kvm opens, but the CPU shows neither vmx nor svm' };
  }
  return { accel: 'kvm', reason: '/dev/kvm opens and the CPU has hardware virtualization' };
}

export function resolveAccelerator(wanted: AcceleratorChoice): AcceleratorDecision {
  return chooseAccelerator(wanted, readKvmFacts());
}

export function readKvmFacts(): KvmFacts {
  const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  return { deviceError: openError('/dev/kvm'), cpuFlags: new Set(flags.split(' ')) };
}

function openError(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'r+'));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

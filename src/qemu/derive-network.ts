/**
 * Network interfaces at the destination.
 *
 * Must never: let a command line of another host choose a program that runs here as root. The tap scripts that QEMU runs
 * when none is named (/etc/qemu-ifup, qemu-bridge-helper) are this host's own.
 */
import { type Argument, readOptions } from './arguments.ts';
import type { Derivation } from './derivation.ts';

export function deriveNetwork(argument: Argument, derivation: Derivation): Argument[] {
  const options = readOptions(argument);
  const what = `-${argument.option} ${options.get('id') ?? options.get('type') ?? ''}`;
  if (['fd', 'fds', 'sock'].some((key) => options.get(key) !== undefined)) {
    derivation.block(
      'passed-descriptor',
      what,
      'its interface was passed to QEMU as a descriptor',
      'start the VM with a named interface (-netdev tap,ifname=…,script=no,downscript=no), or without it and hot-plug it',
    );
  }
  const key = ['helper', 'script', 'downscript'].find((name) => namesProgram(name, options.get(name)));
  if (key !== undefined) {
    derivation.block(
      'network-program',
      what,
      `${key}=${options.get(key)} is a program that the destination would run as root`,
      'start the VM with script=no,downscript=no and without helper=, and set the interface up outside QEMU',
    );
  }
  return [argument];
}

/** `-set netdev.ID.script=…` says the same in other words. */
export function deriveSet(argument: Argument, derivation: Derivation): Argument[] {
  if (/^(netdev|net|nic|fsdev|virtfs|plugin)\./.test(argument.value ?? '')) {
    derivation.block(
      'network-program',
      `-set ${argument.value}`,
      'it changes an option behind the checks of that option',
      'give the value in the option itself',
    );
  }
  return [argument];
}

function namesProgram(key: string, value: string | undefined): boolean {
  return value !== undefined && value !== '' && (key === 'helper' || value !== 'no');
}

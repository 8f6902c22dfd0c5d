/**
 * Network interfaces at the destination.
 *
 * Must never: let a command line of another host choose a program that runs here as root. The tap scripts that QEMU runs
 * when none is named (/etc/qemu-ifup, qemu-bridge-helper) are this host's own; others run only if this host's
 * configuration names them. A helper never does: QEMU gives one with a space in its path to a shell (net/tap.c).
 * A tap that godwit looks after gets the name of this host's own; any other keeps the one that the command line gives it.
 */
import { type Argument, readOptions } from './arguments.ts';
import type { Derivation } from './derivation.ts';
import type { OptionString } from './option-string.ts';

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
  const helper = options.get('helper') ?? '';
  if (helper !== '') {
    derivation.block(
      'network-program',
      what,
      `helper=${helper} is a program that the destination would run as root`,
      "start the VM without helper=, so that each host takes QEMU's own",
    );
  }
  const scripts = findRefusedScripts(options, derivation.options.allowedNetworkScripts ?? []);
  if (scripts.length > 0) {
    const paths = [...new Set(scripts.map(({ path }) => path))].join(' and ');
    derivation.block(
      'network-program',
      what,
      `the destination would run ${scripts.map(({ key, path }) => `${key}=${path}`).join(' and ')} as root`,
      `put ${paths} into allowedNetworkScripts of the destination's configuration, or start the VM with ` +
        'script=no,downscript=no and set the interface up outside QEMU',
    );
  }
  const tap = derivation.options.endpoints.taps?.get(options.get('id') ?? '');
  if (argument.option !== 'netdev' || tap === undefined) return [argument];
  options.set('ifname', tap);
  return [{ option: argument.option, value: options.toString() }];
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

function findRefusedScripts(options: OptionString, allowed: readonly string[]): { key: string; path: string }[] {
  return ['script', 'downscript']
    .map((key) => ({ key, path: options.get(key) ?? '' }))
    .filter(({ path }) => path !== '' && path !== 'no' && !allowed.includes(path));
}

/**
 * A QEMU command line as a list of options.
 *
 * Must hold: printing what was parsed gives the same words, but for `--option`, which becomes `-option`; order is kept
 * (it decides PCI addresses).
 */
import { OptionString } from './option-string.ts';

export interface Argument {
  /** Without its dash; empty for a bare word, which is a disk image. */
  readonly option: string;
  readonly value?: string;
}

/** Options that take no value (qemu-options.hx, versions 4.0 to 10.1). All others take one. */
const WITHOUT_VALUE = new Set(
  (
    'h help version S s snapshot daemonize nodefaults no-user-config nodefconfig nographic curses sdl usb ' +
    'full-screen no-frame alt-grab ctrl-grab no-quit win2k-hack rtc-td-hack no-fd-bootchk no-acpi no-hpet ' +
    'no-reboot no-shutdown enable-kvm no-kvm enable-fips mem-prealloc preconfig singlestep old-param semihosting ' +
    'localtime xen-attach xen-domid-restrict enable-sync-profile only-migratable perfmap jitdump portrait'
  ).split(' '),
);

const IMPLIED_KEYS: Readonly<Record<string, string>> = {
  machine: 'type',
  M: 'type',
  accel: 'accel',
  m: 'size',
  smp: 'cpus',
  object: 'qom-type',
  device: 'driver',
  chardev: 'backend',
  mon: 'chardev',
  netdev: 'type',
  net: 'type',
  nic: 'model',
  blockdev: 'driver',
  audiodev: 'driver',
  display: 'type',
  vnc: 'vnc',
  tpmdev: 'type',
  fsdev: 'fsdriver',
  virtfs: 'fsdriver',
  numa: 'type',
  sandbox: 'enable',
  name: 'guest',
};

/** @param words - as in /proc/PID/cmdline, without the program */
export function parseArguments(words: readonly string[]): Argument[] {
  const found: Argument[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (!word.startsWith('-') || word === '-') {
      found.push({ option: '', value: word });
      continue;
    }
    const option = word.replace(/^--?/, '');
    const value = WITHOUT_VALUE.has(option) ? undefined : words[++at];
    found.push(value === undefined ? { option } : { option, value });
  }
  return found;
}

export function printArguments(list: readonly Argument[]): string[] {
  return list.flatMap(({ option, value }) => [
    ...(option === '' ? [] : [`-${option}`]),
    ...(value === undefined ? [] : [value]),
  ]);
}

/** The value's parts, with the implied key of that option. */
export function readOptions(argument: Argument): OptionString {
  return OptionString.parse(argument.value ?? '', IMPLIED_KEYS[argument.option]);
}

/**
 * The destination's command line, from the source's own (/proc/PID/cmdline), whoever started it.
 *
 * Must hold: everything that the guest can see stays, in the same order (order decides PCI addresses); everything that
 * belongs to one process or one host becomes the destination's own: RAM files, sockets, logs, displays, monitors; the
 * machine type is the versioned one; the VM starts paused and waits for its state. What cannot be carried over is a
 * blocker with a fix, never a guess.
 */
import { isAbsolute, join } from 'node:path';
import { type Argument, parseArguments, printArguments, readOptions } from './arguments.ts';
import type { Blocker } from './blocker.ts';
import { CONSOLE_CHARDEV_ID, QMP_CHARDEV_ID, qmpArguments } from './command-line.ts';
import { Derivation, type DeriveOptions, type LinkedFile, type RamFile } from './derivation.ts';
import { deriveBlockdev } from './derive-blockdev.ts';
import { consoleArguments, deriveCharacterSpec, deriveChardev } from './derive-chardev.ts';
import { deriveAudio, deriveDisplay, deriveSpice, deriveVnc } from './derive-display.ts';
import { deriveObject, deriveOvercommit, SHARED_RAM_FIX } from './derive-memory.ts';
import { deriveNetwork, deriveSet } from './derive-network.ts';
import { mapFiles } from './file-references.ts';
import { findSharedIds } from './shared-memory.ts';

export type Derived =
  | {
      readonly kind: 'derived';
      readonly args: readonly string[];
      /** Made by QEMU when it starts; unlink them once it is up. */
      readonly ramFiles: readonly RamFile[];
      /** Of regions, there before QEMU; theirs is not the VM's RAM. */
      readonly sharedFiles: readonly RamFile[];
      /** To be linked before QEMU starts. */
      readonly linkedFiles: readonly LinkedFile[];
      /** False for a VM without a serial port: then there is no console socket and no console log. */
      readonly hasConsole: boolean;
      /** What differs for people: displays, consoles. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'blocked'; readonly blockers: readonly Blocker[] };

type Rule = (argument: Argument, derivation: Derivation, index: number) => Argument[];

const DROP: Rule = () => [];

/** Options that stay as they are have no rule. */
const RULES: Readonly<Record<string, Rule>> = {
  // Start and process: godwit starts QEMU paused, in a session of its own, and keeps its log.
  S: DROP,
  incoming: DROP,
  loadvm: DROP,
  daemonize: DROP,
  pidfile: DROP,
  D: DROP,
  d: DROP,
  trace: DROP,
  writeconfig: DROP,
  'dump-vmstate': DROP,
  perfmap: DROP,
  jitdump: DROP,
  // Monitors: godwit's own is added at the end.
  qmp: DROP,
  'qmp-pretty': DROP,
  monitor: DROP,
  mon: DROP,
  gdb: DROP,
  s: DROP,
  // Windows.
  nographic: DROP,
  curses: DROP,
  sdl: DROP,
  'full-screen': DROP,
  'no-frame': DROP,
  'alt-grab': DROP,
  'ctrl-grab': DROP,
  'no-quit': DROP,
  // Memory that is present raises no faults.
  'mem-prealloc': DROP,
  object: (argument, derivation) => [deriveObject(argument, derivation)],
  overcommit: (argument, derivation) => optional(deriveOvercommit(argument, derivation)),
  blockdev: (argument, derivation) => [deriveBlockdev(argument, derivation)],
  chardev: (argument, derivation) => optional(deriveChardev(argument, derivation)),
  serial: (argument, derivation, index) => deriveCharacterSpec(argument, index, derivation),
  parallel: (argument, derivation, index) => deriveCharacterSpec(argument, index, derivation),
  debugcon: (argument, derivation, index) => deriveCharacterSpec(argument, index, derivation),
  display: (argument, derivation) => optional(deriveDisplay(argument, derivation)),
  vnc: (argument, derivation) => [deriveVnc(argument, derivation)],
  spice: (argument, derivation) => [deriveSpice(argument, derivation)],
  audiodev: (argument) => [deriveAudio(argument)],
  machine: deriveMachine,
  M: deriveMachine,
  accel: deriveAccelerator,
  'enable-kvm': (argument, derivation) => (derivation.options.accel === 'kvm' ? [argument] : []),
  netdev: deriveNetwork,
  nic: deriveNetwork,
  net: deriveNetwork,
  set: deriveSet,
  // The command line comes from another host: no code and no directories of this one.
  plugin: blocked('plugin', 'it is code that the destination would run as root', 'start the VM without -plugin'),
  fsdev: blocked(
    'shared-directory',
    'it gives the guest a directory of its host',
    'use a disk or a network file system',
  ),
  virtfs: blocked(
    'shared-directory',
    'it gives the guest a directory of its host',
    'use a disk or a network file system',
  ),
  readconfig: blocked('config-file', 'its devices are in a file', 'give the options of that file on the command line'),
  snapshot: blocked(
    'snapshot',
    'writes go to a temporary file that only the source has',
    'start the VM without -snapshot',
  ),
  'add-fd': blocked(
    'passed-descriptor',
    'a descriptor was passed to QEMU',
    'name the file instead of passing a descriptor',
  ),
  'mem-path': blocked('private-ram', 'this RAM is private to QEMU', SHARED_RAM_FIX),
};

/** Serial ports that QEMU gives a VM unless it is told otherwise; one of these options tells it (softmmu/vl.c). */
const SERIAL_DEVICES = new Set(['isa-serial', 'pci-serial', 'usb-serial', 'virtio-serial', 'virtio-serial-pci']);

/**
 * @param sourceArgs - the source's arguments, without the binary
 */
export function deriveDestination(sourceArgs: readonly string[], options: DeriveOptions): Derived {
  const source = parseArguments(sourceArgs);
  const derivation = new Derivation(options, findConsole(source), findMonitorChardevs(source), findSharedIds(source));
  // The console's is the longest of godwit's own. Without them there is nothing to derive.
  derivation.checkSocket(options.endpoints.consoleSocketPath);
  if (derivation.blockers.length > 0) return { kind: 'blocked', blockers: derivation.blockers };
  const counts = new Map<string, number>();
  const args = absolute(source, derivation).flatMap((argument) => {
    const index = counts.get(argument.option) ?? 0;
    counts.set(argument.option, index + 1);
    return RULES[argument.option]?.(argument, derivation, index) ?? [argument];
  });
  if (!counts.has('machine') && !counts.has('M')) args.unshift({ option: 'machine', value: options.machineType });
  if (hasDefaultSerial(source)) args.push(...consoleArguments(derivation));
  if (!args.some(({ option }) => option === 'display')) args.push({ option: 'display', value: 'none' });
  if (derivation.ramFiles.length + derivation.keptFiles.length === 0) {
    derivation.block('private-ram', 'RAM', 'the VM has no RAM in a shared file', SHARED_RAM_FIX);
  }
  if (derivation.blockers.length > 0) return { kind: 'blocked', blockers: derivation.blockers };
  const words = [...printArguments(args), ...qmpArguments(options.endpoints), '-S', '-incoming', 'defer'];
  const { ramFiles, sharedFiles, linkedFiles, hasConsole, notes } = derivation;
  return { kind: 'derived', args: words, ramFiles, sharedFiles, linkedFiles, hasConsole, notes };
}

function deriveMachine(argument: Argument, derivation: Derivation, index: number): Argument[] {
  const options = readOptions(argument);
  // Several -machine are one; only the type must not be lost.
  if (index === 0 || options.get('type') !== undefined) options.set('type', derivation.options.machineType);
  if (options.get('accel') !== undefined) options.set('accel', derivation.options.accel);
  return [{ option: 'machine', value: options.toString() }];
}

function deriveAccelerator(argument: Argument, derivation: Derivation): Argument[] {
  const options = readOptions(argument);
  // A list of choices: what the source really runs on stays.
  const names = (options.get('accel') ?? '').split(':');
  if (!names.includes(derivation.options.accel)) return [];
  options.set('accel', derivation.options.accel);
  return [{ option: 'accel', value: options.toString() }];
}

function blocked(id: string, reason: string, fix: string): Rule {
  return (argument, derivation) => {
    derivation.block(id, `-${argument.option} ${argument.value ?? ''}`.trim(), reason, fix);
    return [];
  };
}

/** Relative paths mean the source's working directory; the destination starts in another, and may have images elsewhere. */
function absolute(args: readonly Argument[], derivation: Derivation): Argument[] {
  const { sourceDirectory, movedImages } = derivation.options;
  const placed = (path: string): string => movedImages?.get(path) ?? path;
  return mapFiles(args, ({ path, where }) => {
    if (isAbsolute(path)) return placed(path);
    if (sourceDirectory !== undefined) return placed(join(sourceDirectory, path));
    derivation.block('relative-path', path, `${where} is a relative path`, 'start the VM with absolute paths');
    return path;
  });
}

/** The chardev behind the first serial port or virtio console. */
function findConsole(args: readonly Argument[]): string | undefined {
  const serial = args.find(({ option }) => option === 'serial')?.value;
  if (serial?.startsWith('chardev:')) return serial.slice('chardev:'.length);
  if (serial !== undefined && serial !== 'none') return undefined;
  const devices = args.filter(({ option }) => option === 'device').map(readOptions);
  const port = ['isa-serial', 'pci-serial', 'virtconsole', 'spapr-vty']
    .map((driver) => devices.find((device) => device.get('driver') === driver))
    .find((device) => device !== undefined);
  return port?.get('chardev');
}

/** Chardevs that a monitor uses and nothing else does. */
function findMonitorChardevs(args: readonly Argument[]): Set<string> {
  const ids = new Set([QMP_CHARDEV_ID]);
  for (const argument of args) {
    if (argument.option === 'mon') ids.add(readOptions(argument).get('chardev') ?? '');
  }
  for (const argument of args) {
    if (argument.option === 'mon' || argument.option === 'chardev' || argument.value === undefined) continue;
    ids.delete(readOptions(argument).get('chardev') ?? '');
    ids.delete(/^(?:mon:)?chardev:([^,]+)/.exec(argument.value)?.[1] ?? '');
  }
  ids.delete(CONSOLE_CHARDEV_ID);
  return ids;
}

function hasDefaultSerial(args: readonly Argument[]): boolean {
  return !args.some((argument) => {
    if (argument.option === 'nodefaults' || argument.option === 'serial') return true;
    return argument.option === 'device' && SERIAL_DEVICES.has(readOptions(argument).get('driver') ?? '');
  });
}

function optional(argument: Argument | undefined): Argument[] {
  return argument === undefined ? [] : [argument];
}

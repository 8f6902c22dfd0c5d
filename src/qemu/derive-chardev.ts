/**
 * Character devices at the destination: sockets and files of its own instead of the source's.
 *
 * Must hold: a chardev keeps its id and stays a chardev that its device accepts; nothing that only one process can
 * have (a listening port, a terminal, a passed descriptor) is taken over from the source.
 */
import { type Argument, readOptions } from './arguments.ts';
import { CONSOLE_CHARDEV_ID, consoleChardev } from './command-line.ts';
import type { Derivation } from './derivation.ts';
import { escapeComma, OptionString } from './option-string.ts';

/** Backends without anything of the host's in them. */
const PORTABLE = new Set([
  'null',
  'vc',
  'pty',
  'ringbuf',
  'memory',
  'spicevmc',
  'spiceport',
  'qemu-vdagent',
  'testdev',
]);
/** Backends that become a unix socket to connect to. */
const INTO_SOCKET = new Set(['stdio', 'pipe', 'socket']);

/** `-chardev`: undefined when it is dropped. */
export function deriveChardev(argument: Argument, derivation: Derivation): Argument | undefined {
  const options = readOptions(argument);
  const id = options.get('id') ?? '';
  if (derivation.monitorIds.has(id)) return undefined;
  if (id === derivation.consoleId) {
    derivation.hasConsole = true;
    return { option: 'chardev', value: consoleWithId(id, options.isOn('mux'), derivation) };
  }
  const value = deriveBackend(options, id, derivation);
  return { option: 'chardev', value };
}

/** `-serial`, `-parallel`, `-debugcon` and the like, in their short form (`stdio`, `tcp:…`, `chardev:ID`). */
export function deriveCharacterSpec(argument: Argument, index: number, derivation: Derivation): Argument[] {
  const { option } = argument;
  const spec = (argument.value ?? '').replace(/^mon:/, '');
  const isConsole = option === 'serial' && index === 0 && !/^(none|null|chardev:.*)$/.test(spec);
  if (isConsole) return consoleArguments(derivation);
  const name = `${option}${index}`;
  if (spec.startsWith('file:')) return fileArguments(option, name, spec.slice('file:'.length), derivation);
  return [{ option, value: deriveSpec(spec, name, derivation) }];
}

/** In its short form QEMU would begin a file anew that is to be kept. */
function fileArguments(option: string, name: string, path: string, derivation: Derivation): Argument[] {
  const output = derivation.output(`${name}.out`, path);
  if (!output.isKept) return [{ option, value: `file:${output.path}` }];
  const id = `godwit-${name}`;
  return [
    { option: 'chardev', value: `file,id=${id},path=${escapeComma(output.path)},append=on` },
    { option, value: `chardev:${id}` },
  ];
}

/** The first serial port on a console of godwit's. */
export function consoleArguments(derivation: Derivation): Argument[] {
  derivation.hasConsole = true;
  return [
    { option: 'chardev', value: consoleWithId(CONSOLE_CHARDEV_ID, false, derivation) },
    { option: 'serial', value: `chardev:${CONSOLE_CHARDEV_ID}` },
  ];
}

function consoleWithId(id: string, mux: boolean, derivation: Derivation): string {
  const options = OptionString.parse(consoleChardev(derivation.options.endpoints), 'backend');
  options.set('id', id);
  if (mux) options.set('mux', true);
  return options.toString();
}

function deriveBackend(options: OptionString, id: string, derivation: Derivation): string {
  const backend = options.get('backend') ?? '';
  const logged = options.get('logfile');
  if (logged !== undefined) {
    const log = derivation.output(`${id}.log`, logged);
    options.set('logfile', log.path);
    if (log.isKept) options.set('logappend', true);
  }
  if (PORTABLE.has(backend)) return options.toString();
  if (backend === 'file') {
    const output = derivation.output(`${id}.out`, options.get('path') ?? '');
    options.set('path', output.path);
    if (output.isKept) options.set('append', true);
    return options.toString();
  }
  if (backend === 'udp' || isClient(options)) {
    derivation.note(`chardev ${id} connects to the same address ${derivation.before}`);
    return options.toString();
  }
  if (INTO_SOCKET.has(backend)) {
    const path = derivation.socket(id);
    derivation.note(`chardev ${id} (${backend}) is the unix socket ${path} ${derivation.here}`);
    return asServer(options, id, path);
  }
  derivation.block(
    'host-character-device',
    `-chardev ${id}`,
    `its backend ${backend} belongs to the source host`,
    'start the VM with a socket or file chardev instead',
  );
  return options.toString();
}

function isClient(options: OptionString): boolean {
  return options.get('backend') === 'socket' && options.get('fd') === undefined && !options.isOn('server');
}

function asServer(options: OptionString, id: string, path: string): string {
  const kept = ['mux', 'logfile', 'logappend'].flatMap((key) => {
    const value = options.get(key);
    return value === undefined ? [] : [`,${key}=${escapeComma(value)}`];
  });
  return `socket,id=${escapeComma(id)},path=${escapeComma(path)},server=on,wait=off${kept.join('')}`;
}

function deriveSpec(spec: string, name: string, derivation: Derivation): string {
  const kind = spec.split(/[:,]/)[0] ?? '';
  if (/^(none|null|pty|vc|chardev|msmouse)$/.test(kind)) return spec;
  const listens = /[,](server(=on)?)(,|$)/.test(spec);
  if (kind === 'udp' || (/^(tcp|telnet|unix|websocket)$/.test(kind) && !listens)) {
    derivation.note(`-${name} connects to the same address ${derivation.before}`);
    return spec;
  }
  if (/^(stdio|pipe|tcp|telnet|unix|websocket)$/.test(kind)) {
    const path = derivation.socket(name);
    derivation.note(`${name} (${kind}) is the unix socket ${path} ${derivation.here}`);
    return `unix:${path},server=on,wait=off`;
  }
  derivation.block(
    'host-character-device',
    `-${name} ${spec}`,
    'it belongs to the source host',
    'start the VM with a socket or file instead',
  );
  return spec;
}

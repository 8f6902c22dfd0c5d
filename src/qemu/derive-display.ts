/**
 * Displays and sound at the destination: no window, remote displays on unix sockets, silent sound.
 *
 * Must hold: what the guest sees (graphics card, sound card) stays; only the host's side changes.
 */
import { type Argument, readOptions } from './arguments.ts';
import type { Derivation } from './derivation.ts';

/** `-display`: undefined for a window, which no host daemon has a screen for. */
export function deriveDisplay(argument: Argument, derivation: Derivation): Argument | undefined {
  const options = readOptions(argument);
  const type = options.get('type') ?? '';
  if (type === 'none' || type === 'egl-headless') return argument;
  if (type === 'vnc' || options.keys()[0] === 'vnc') {
    derivation.note(vncNote(derivation));
    return { option: 'display', value: `vnc=unix:${derivation.socket('vnc')}` };
  }
  derivation.note(`the ${type} window is not opened ${derivation.here}`);
  return undefined;
}

export function deriveVnc(argument: Argument, derivation: Derivation): Argument {
  const options = readOptions(argument);
  if (options.get('vnc') === 'none' || options.get('vnc')?.startsWith('none')) return argument;
  options.set('vnc', `unix:${derivation.socket('vnc')}`);
  options.delete('to', 'websocket', 'reverse', 'ipv4', 'ipv6');
  derivation.note(vncNote(derivation));
  return { option: 'vnc', value: options.toString() };
}

export function deriveSpice(argument: Argument, derivation: Derivation): Argument {
  const options = readOptions(argument);
  const tls = options.keys().filter((key) => /^(x509-|tls-)/.test(key));
  options.delete('port', 'tls-port', 'ipv4', 'ipv6', 'unix', 'addr', ...tls);
  options.set('unix', true);
  options.set('addr', derivation.socket('spice'));
  derivation.note(`SPICE is on the unix socket ${derivation.socket('spice')} ${derivation.here}`);
  return { option: 'spice', value: options.toString() };
}

/** The sound card stays, what it plays is not heard. */
export function deriveAudio(argument: Argument): Argument {
  const options = readOptions(argument);
  const id = options.get('id') ?? '';
  return { option: 'audiodev', value: `none,id=${id}` };
}

function vncNote(derivation: Derivation): string {
  return `VNC is on the unix socket ${derivation.socket('vnc')} ${derivation.here}`;
}

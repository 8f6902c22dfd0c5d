/** How long the name of a host can be. */
import { GodwitError } from './errors.ts';

/** What DNS can carry (RFC 1035, section 2.3.4: 255 octets, of which the first length and the root are two). */
const MAX_HOST_BYTES = 253;
/** Of one that is too long, in the error. */
const SHOWN = 32;

/** @returns `host` @throws GW_INPUT_INVALID naming `field` */
export function boundedHost(host: string, field: string): string {
  if (Buffer.byteLength(host) <= MAX_HOST_BYTES) return host;
  const fix = `give a host name or an IP address: names have at most ${MAX_HOST_BYTES} bytes`;
  throw new GodwitError('GW_INPUT_INVALID', { field, value: `${host.slice(0, SHOWN)}…`, fix });
}

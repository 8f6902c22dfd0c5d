/**
 * How long the path of a unix socket may be.
 */
import { basename } from 'node:path';
import { GodwitError } from '../base/errors.ts';

/** sun_path of sockaddr_un without its closing zero byte (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Throws GW_INPUT_INVALID when the kernel would refuse it as the address of a unix socket. */
export function checkSocketPath(path: string): string {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  const fix = `${basename(path)} must be reachable by at most ${MAX_SOCKET_PATH_BYTES} bytes: use a shorter state directory`;
  throw new GodwitError('GW_INPUT_INVALID', { field: 'socket path', value: path, fix });
}

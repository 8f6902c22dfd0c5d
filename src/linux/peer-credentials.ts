/**
 * Who has connected to a unix socket (unix(7), SO_PEERCRED).
 *
 * Owns: nothing. Must hold: it is who he was when he connected; a process that has ended since keeps its number here, which may be
 * another's by now.
 */
import { SO_PEERCRED, SOL_SOCKET, UCRED_BYTES } from './abi/socket.ts';
import { call, raw } from './raw.ts';

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** @param fd - of the end that accepted @throws GW_SYS_CALL */
export function peerCredentials(fd: number): PeerCredentials {
  const credentials = new Uint32Array(UCRED_BYTES / 4);
  // SAFETY: writes at most the bytes of `credentials`, and their count; both alive for the call.
  call(
    'getsockopt(SO_PEERCRED)',
    raw.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, Uint32Array.of(UCRED_BYTES)),
  );
  return { pid: credentials[0]!, uid: credentials[1]!, gid: credentials[2]! };
}

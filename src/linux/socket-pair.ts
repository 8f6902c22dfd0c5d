/**
 * Pairs of connected sockets inside this process (socketpair(2), unix(7)).
 *
 * Owns: nothing; both descriptors are the caller's. Must hold: children inherit neither, and neither blocks.
 */
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM } from './abi/socket.ts';
import { call, raw } from './raw.ts';

export interface SocketPairFds {
  readonly near: number;
  readonly far: number;
}

/**
 * @param kind - `stream`: bytes; `messages`: what is sent by one call is received by one call, whole
 * @throws GW_SYS_CALL
 */
export function openSocketPair(kind: 'stream' | 'messages'): SocketPairFds {
  const type = kind === 'stream' ? SOCK_STREAM : SOCK_SEQPACKET;
  const fds = new Int32Array(2);
  // SAFETY: writes the two numbers of `fds`, alive for the call.
  call('socketpair', raw.socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
  return { near: fds[0]!, far: fds[1]! };
}

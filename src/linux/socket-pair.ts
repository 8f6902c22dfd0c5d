/**
 * Pairs of connected sockets inside this process (socketpair(2), unix(7)).
 *
 * Owns: nothing; both descriptors are the caller's. Must hold: children inherit neither, and neither blocks.
 */
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_PEEK,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from './abi/socket.ts';
import { retryInterrupted } from './file-descriptor.ts';
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

/** The first byte that has come, which stays to be received; undefined: there is none yet, or there will be none. */
export function peekByte(fd: number): number | undefined {
  const into = new Uint8Array(1);
  // SAFETY: writes at most the byte of `into`, alive for the call; MSG_DONTWAIT, so it does not block.
  const received = retryInterrupted(() => raw.recv(fd, into, 1, MSG_PEEK | MSG_DONTWAIT));
  return received === 1 ? into[0] : undefined;
}

/**
 * Blocking byte streams for worker threads, on the descriptor of a connected socket.
 *
 * Owns: nothing; the caller owns the descriptor (`duplicateFd` takes one out of a Node socket, which then must not be
 * read by Node any more).
 * Must hold: the descriptor may be non-blocking (Node's are), so waiting is by poll(2) beside a descriptor that the
 * owner can make readable to end the wait; a vanished peer is a value, never SIGPIPE.
 */
import { POLLIN, POLLOUT } from './abi/files.ts';
import {
  AF_INET6,
  AF_UNIX,
  F_DUPFD_CLOEXEC,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_TCLASS,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  SHUT_RDWR,
  SIOCOUTQ,
  SO_DOMAIN,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from './abi/socket.ts';
import { Errno, errnoName } from './errno.ts';
import { retryInterrupted } from './file-descriptor.ts';
import { call, lastErrno, raw, systemCallError } from './raw.ts';

const OPTIONS = {
  /** 1: send small messages at once (TCP_NODELAY). */
  noDelay: [IPPROTO_TCP, TCP_NODELAY],
  sendBufferBytes: [SOL_SOCKET, SO_SNDBUF],
  receiveBufferBytes: [SOL_SOCKET, SO_RCVBUF],
  /** A connection whose data stays unacknowledged for so long is cut (TCP_USER_TIMEOUT). */
  userTimeoutMs: [IPPROTO_TCP, TCP_USER_TIMEOUT],
  /** AF_INET, AF_INET6 or AF_UNIX; can only be read. */
  domain: [SOL_SOCKET, SO_DOMAIN],
  /** DSCP × 4 of IPv4 packets. */
  typeOfService: [IPPROTO_IP, IP_TOS],
  /** DSCP × 4 of IPv6 packets. */
  trafficClass: [IPPROTO_IPV6, IPV6_TCLASS],
} as const;

export type SocketOption = keyof typeof OPTIONS;

export interface WaitOptions {
  /** Longest wait without any progress; none when absent. */
  readonly timeoutMs?: number;
  /** Ends the wait as soon as it is readable: an eventfd of the owner. */
  readonly interruptFd?: number;
}

export type WaitOutcome = 'ready' | 'interrupted' | 'timedOut';

export type SendOutcome =
  | { readonly kind: 'sent' }
  | { readonly kind: 'interrupted'; readonly sentBytes: number }
  | { readonly kind: 'timedOut'; readonly sentBytes: number }
  | { readonly kind: 'peerGone'; readonly reason: string };

export type ReceiveOutcome =
  | { readonly kind: 'received'; readonly bytes: number }
  | { readonly kind: 'ended' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'timedOut' }
  | { readonly kind: 'peerGone'; readonly reason: string };

const SENT: SendOutcome = { kind: 'sent' };
const GONE: ReadonlySet<number> = new Set([
  Errno.EPIPE,
  Errno.ECONNRESET,
  Errno.ETIMEDOUT,
  Errno.ENETDOWN,
  Errno.ENETUNREACH,
  Errno.EHOSTUNREACH,
]);

/** Of a socket of node:net. Node does not tell it in any public way; the handle has had it since Node 0.x. */
export function descriptorOf(socket: object): number {
  return (socket as { _handle: { fd: number } })._handle.fd;
}

/** A duplicate that children do not inherit. */
export function duplicateFd(fd: number): number {
  // SAFETY: no memory.
  return call('fcntl(F_DUPFD_CLOEXEC)', raw.fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

export function closeFd(fd: number): void {
  // SAFETY: no memory; the number is free afterwards whatever the result.
  raw.close(fd);
}

/** Ends both directions for every duplicate of the socket, and with it all waits on it. */
export function shutdownSocket(fd: number): void {
  // SAFETY: no memory. Fails only where the connection has ended already.
  raw.shutdown(fd, SHUT_RDWR);
}

/** Sends all of `bytes`, waiting as long as it takes. */
export function sendAll(fd: number, bytes: Uint8Array, options: WaitOptions = {}): SendOutcome {
  let sentBytes = 0;
  while (sentBytes < bytes.length) {
    const rest = sentBytes === 0 ? bytes : bytes.subarray(sentBytes);
    // SAFETY: reads `rest`, alive for the call; MSG_DONTWAIT, so it does not block.
    const sent = retryInterrupted(() => raw.send(fd, rest, rest.length, MSG_NOSIGNAL | MSG_DONTWAIT));
    if (sent >= 0) {
      sentBytes += sent;
      continue;
    }
    const errno = lastErrno();
    if (GONE.has(errno)) return { kind: 'peerGone', reason: errnoName(errno) };
    if (errno !== Errno.EAGAIN) throw systemCallError('send', errno);
    const waited = waitFor(fd, POLLOUT, options);
    if (waited !== 'ready') return { kind: waited, sentBytes };
  }
  return SENT;
}

/**
 * Gives the kernel what it has room for now, never waiting: how many bytes, 0 when there is no room.
 * @param more - further bytes follow at once: the kernel need not send these in a packet of their own
 * @throws GW_SYS_CALL
 */
export function sendSome(fd: number, bytes: Uint8Array, more: boolean): number {
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
  // SAFETY: reads `bytes`, alive for the call; MSG_DONTWAIT, so it does not block.
  const sent = retryInterrupted(() => raw.send(fd, bytes, bytes.length, flags));
  if (sent >= 0) return sent;
  const errno = lastErrno();
  if (errno === Errno.EAGAIN) return 0;
  throw systemCallError('send', errno);
}

/** Blocks the thread until there is room to send, or the time-out or interruption of the options. */
export function waitForRoom(fd: number, options: WaitOptions): WaitOutcome {
  return waitFor(fd, POLLOUT, options);
}

/** Blocks the thread until something has come, or the time-out or interruption of the options. */
export function waitForData(fd: number, options: WaitOptions): WaitOutcome {
  return waitFor(fd, POLLIN, options);
}

/**
 * Gives the kernel bytes of a file to send, by reference where it can: they are what they are when they leave.
 * Takes as many as fit now, never waiting: their number, 0 when there is no room.
 * @throws GW_SYS_CALL, also where the file has been cut before them
 */
export function sendFromFile(fd: number, file: number, offset: number, bytes: number): number {
  // SAFETY: reads the offset and writes it back, alive for the call; a non-blocking socket, so it does not wait for room.
  const sent = retryInterrupted(() => raw.sendfile(fd, file, BigInt64Array.of(BigInt(offset)), bytes));
  if (sent > 0) return sent;
  // Nothing although there was room: the end of the file.
  const errno = sent === 0 ? Errno.ENODATA : lastErrno();
  if (errno === Errno.EAGAIN) return 0;
  throw systemCallError('sendfile', errno);
}

/** Takes what is there now, never waiting: its length, 0 at the end of the stream, -1 when there is nothing yet. */
export function receiveSome(fd: number, into: Uint8Array): number {
  // SAFETY: writes at most `into.length` bytes to `into`, alive for the call; MSG_DONTWAIT, so it does not block.
  const received = retryInterrupted(() => raw.recv(fd, into, into.length, MSG_DONTWAIT));
  if (received >= 0) return received;
  const errno = lastErrno();
  if (errno === Errno.EAGAIN) return -1;
  throw systemCallError('recv', errno);
}

/** Waits until there is something, and takes it. */
export function receive(fd: number, into: Uint8Array, options: WaitOptions = {}): ReceiveOutcome {
  for (;;) {
    // SAFETY: writes at most `into.length` bytes to `into`, alive for the call; MSG_DONTWAIT, so it does not block.
    const bytes = retryInterrupted(() => raw.recv(fd, into, into.length, MSG_DONTWAIT));
    if (bytes > 0) return { kind: 'received', bytes };
    if (bytes === 0) return { kind: 'ended' };
    const errno = lastErrno();
    if (GONE.has(errno)) return { kind: 'peerGone', reason: errnoName(errno) };
    if (errno !== Errno.EAGAIN) throw systemCallError('recv', errno);
    const waited = waitFor(fd, POLLIN, options);
    if (waited !== 'ready') return { kind: waited };
  }
}

/** Bytes in the socket's send queue: not sent yet, or sent and not acknowledged (tcp(7), SIOCOUTQ). */
export function unacknowledgedBytes(fd: number): number {
  const value = new Int32Array(1);
  // SAFETY: writes the four bytes of `value`, alive for the call.
  call('ioctl(SIOCOUTQ)', raw.ioctl(fd, SIOCOUTQ, value));
  return value[0]!;
}

/**
 * A TCP option of a link to another host. A link that leads to a relay has none of its own: the relay sets those of its
 * connection.
 */
export function setLinkOption(fd: number, option: 'noDelay' | 'userTimeoutMs', value: number): void {
  if (getSocketOption(fd, 'domain') !== AF_UNIX) setSocketOption(fd, option, value);
}

export function setSocketOption(fd: number, option: SocketOption, value: number): void {
  const [level, name] = OPTIONS[option];
  // SAFETY: reads the four bytes of the array, alive for the call.
  call(`setsockopt(${option})`, raw.setsockopt(fd, level, name, Int32Array.of(value), 4));
}

/** Marks the packets of a TCP socket. The two bits beside the mark stay the kernel's, for congestion (RFC 3168). */
export function setDscp(fd: number, dscp: number): void {
  // An IPv6 socket may carry IPv4 as well.
  setSocketOption(fd, 'typeOfService', dscp << 2);
  if (getSocketOption(fd, 'domain') === AF_INET6) setSocketOption(fd, 'trafficClass', dscp << 2);
}

/** The kernel doubles the buffer sizes that it was given. */
export function getSocketOption(fd: number, option: SocketOption): number {
  const [level, name] = OPTIONS[option];
  const value = new Int32Array(1);
  // SAFETY: writes at most the four bytes of `value`, and their count; both alive for the call.
  call(`getsockopt(${option})`, raw.getsockopt(fd, level, name, value, Uint32Array.of(4)));
  return value[0]!;
}

function waitFor(fd: number, events: number, options: WaitOptions): WaitOutcome {
  // struct pollfd {int fd; short events; short revents}: a negative descriptor is skipped by the kernel.
  const fds = Int32Array.of(fd, events, options.interruptFd ?? -1, POLLIN);
  // SAFETY: the kernel writes revents of the two pollfd in `fds`; blocks this thread for at most the time-out.
  const ready = retryInterrupted(() => raw.poll(fds, 2, options.timeoutMs ?? -1));
  call('poll(socket)', ready);
  if (ready === 0) return 'timedOut';
  return fds[3]! >>> 16 === 0 ? 'ready' : 'interrupted';
}

/**
 * What the kernel counts of a TCP connection (tcp(7), TCP_INFO; struct tcp_info of linux/tcp.h).
 *
 * Owns: nothing. Must hold: a kernel that counts less (before 4.10), and a socket of another kind, are told as undefined.
 */
import { IPPROTO_TCP, TCP_INFO, TCP_INFO_OFFSETS } from './abi/socket.ts';
import { raw } from './raw.ts';

export interface TcpBusy {
  /** That the other host's kernel has acknowledged. */
  readonly acknowledgedBytes: number;
  /** During which something was waiting to be sent or acknowledged. */
  readonly busyMs: number;
}

const { bytesAcked, busyTime } = TCP_INFO_OFFSETS;
const BYTES = busyTime + 8;

export function readTcpBusy(fd: number): TcpBusy | undefined {
  const info = new Uint8Array(BYTES);
  const length = Uint32Array.of(BYTES);
  // SAFETY: writes at most the bytes of `info`, and their count; both alive for the call.
  if (raw.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0 || length[0]! < BYTES) return undefined;
  const view = new DataView(info.buffer);
  return {
    acknowledgedBytes: Number(view.getBigUint64(bytesAcked, true)),
    // Microseconds.
    busyMs: Number(view.getBigUint64(busyTime, true)) / 1000,
  };
}

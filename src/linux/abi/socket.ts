/**
 * Numbers of socket(2), send(2), ip(7), ipv6(7), tcp(7), unix(7) and packet(7) (asm-generic/socket.h, linux/in.h,
 * linux/in6.h, linux/tcp.h and linux/if_packet.h, x86-64 and arm64).
 *
 * Owns: data only.
 */

export const AF_UNIX = 1;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_PEERCRED = 17;
export const SO_DOMAIN = 39;
/** sizeof(struct ucred): pid, uid, gid. */
export const UCRED_BYTES = 12;
export const IPPROTO_IP = 0;
export const IP_TOS = 1;
export const IPPROTO_IPV6 = 41;
export const IPV6_TCLASS = 67;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_INFO = 11;
/** In struct tcp_info, 64-bit numbers each. */
export const TCP_INFO_OFFSETS = { bytesAcked: 120, busyTime: 168 } as const;
export const TCP_USER_TIMEOUT = 18;

export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;

export const SHUT_RDWR = 2;

export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;

/** sizeof(sun_path) in struct sockaddr_un, the zero byte at its end included. */
export const UNIX_PATH_MAX = 108;

/** sizeof(struct sockaddr_ll). */
export const SOCKADDR_LL_BYTES = 20;

/** linux/sockios.h: SIOCOUTQ = TIOCOUTQ. */
export const SIOCOUTQ = 0x5411;

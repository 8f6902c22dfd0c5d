/**
 * System call numbers and their flags.
 *
 * Owns: data only. Numbers above 423 are the same on every architecture; the others differ.
 */

/** The calls that are run inside QEMU, by x86-64 number (asm/unistd_64.h): injection exists for that machine alone. */
export const X64_SYSCALLS = { close: 3, ioctl: 16, restart_syscall: 219, userfaultfd: 323 } as const;

export const SYS_pidfd_send_signal = 424;
export const SYS_pidfd_open = 434;
export const SYS_pidfd_getfd = 438;

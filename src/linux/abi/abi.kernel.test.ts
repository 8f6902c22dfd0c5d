// Proves the numbers and layouts of this folder with the C compiler and the kernel's own headers.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { requireCapability } from '../../../test/support/capability.ts';
import { ERRNO_NAMES, Errno } from '../errno.ts';
import * as files from './files.ts';
import * as malloc from './malloc.ts';
import * as pagemap from './pagemap.ts';
import * as ptrace from './ptrace.ts';
import * as scheduling from './scheduling.ts';
import * as socket from './socket.ts';
import * as syscalls from './syscalls.ts';
import * as uffd from './userfaultfd.ts';

// Debian 12's headers (6.1) end before PAGEMAP_SCAN: its structures are declared here as the kernel's
// include/uapi/linux/fs.h and userfaultfd.h have them, and the C compiler applies the macros to them.
const PREAMBLE = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <malloc.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#ifndef PAGEMAP_SCAN
struct page_region { __u64 start, end, categories; };
struct pm_scan_arg {
  __u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
  __u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_PRESENT (1 << 3)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#define WALL __WALL
#define WORD(type, field) (offsetof(type, field) / 8)
`;

function numbersOf(table: Record<string, unknown>): [string, bigint][] {
  return Object.entries(table)
    .filter(([name, value]) => /^[A-Z]/.test(name) && (typeof value === 'number' || typeof value === 'bigint'))
    .map(([name, value]) => [name, BigInt(value as number | bigint)]);
}

/** Names of ours that C does not have under the same name. */
const OWN_NAMES: Record<string, string> = {
  UFFD_MESSAGE_WORDS: 'sizeof(struct uffd_msg) / 8',
  PM_SCAN_ARG_WORDS: 'sizeof(struct pm_scan_arg) / 8',
  PAGE_REGION_HALF_WORDS: 'sizeof(struct page_region) / 4',
  SIGINFO_HALF_WORDS: 'sizeof(siginfo_t) / 4',
  USER_REGS_WORDS: 'sizeof(struct user_regs_struct) / 8',
  POLLFD_WORDS: 'sizeof(struct pollfd) / 4',
  FLOCK_WORDS: 'sizeof(struct flock) / 8',
  SCHED_PARAM_WORDS: 'sizeof(struct sched_param) / 4',
  UCRED_BYTES: 'sizeof(struct ucred)',
  SOCKADDR_LL_BYTES: 'sizeof(struct sockaddr_ll)',
  UNIX_PATH_MAX: 'sizeof(((struct sockaddr_un *)0)->sun_path)',
  USER_CS: '({ unsigned long cs; asm("mov %%cs, %0" : "=r"(cs)); cs; })',
};

const PM_SCAN_FIELDS: Record<keyof typeof pagemap.PmScanArg, string> = {
  size: 'size',
  flags: 'flags',
  start: 'start',
  end: 'end',
  walkEnd: 'walk_end',
  vec: 'vec',
  vecLen: 'vec_len',
  maxPages: 'max_pages',
  categoryInverted: 'category_inverted',
  categoryMask: 'category_mask',
  categoryAnyOf: 'category_anyof_mask',
  returnMask: 'return_mask',
};

const ROWS: [expression: string, ours: bigint][] = [
  ...[uffd, pagemap, ptrace, scheduling, socket, syscalls, files, malloc]
    .flatMap(numbersOf)
    .map(([name, value]): [string, bigint] => [OWN_NAMES[name] ?? name, value]),
  ...Object.entries(syscalls.X64_SYSCALLS).map(([name, value]): [string, bigint] => [`SYS_${name}`, BigInt(value)]),
  ...Object.entries(pagemap.PmScanArg).map(([name, value]): [string, bigint] => [
    `WORD(struct pm_scan_arg, ${PM_SCAN_FIELDS[name as keyof typeof pagemap.PmScanArg]})`,
    BigInt(value),
  ]),
  ...Object.entries(ptrace.UserRegs).map(([name, value]): [string, bigint] => [
    `WORD(struct user_regs_struct, ${name === 'origRax' ? 'orig_rax' : name})`,
    BigInt(value),
  ]),
  ...Object.entries(ptrace.SigInfo).map(([name, value]): [string, bigint] => [
    `offsetof(siginfo_t, si_${name}) / 4`,
    BigInt(value),
  ]),
  ['WORD(struct uffd_msg, arg.pagefault.flags)', 1n],
  ['WORD(struct uffd_msg, arg.pagefault.address)', 2n],
  ['WORD(struct uffd_msg, arg.pagefault.feat.ptid)', 3n],
  ['offsetof(struct flock, l_type)', 0n],
  ['offsetof(struct flock, l_whence)', 2n],
  ['WORD(struct flock, l_start)', 1n],
  ['WORD(struct flock, l_len)', 2n],
  ['WORD(struct flock, l_pid)', 3n],
  ['WORD(struct uffdio_copy, dst)', 0n],
  ['WORD(struct uffdio_copy, src)', 1n],
  ['WORD(struct uffdio_copy, len)', 2n],
  ['WORD(struct uffdio_copy, mode)', 3n],
  ['WORD(struct uffdio_copy, copy)', 4n],
  ['WORD(struct uffdio_zeropage, mode)', 2n],
  ['WORD(struct uffdio_zeropage, zeropage)', 3n],
  ['WORD(struct uffdio_register, mode)', 2n],
  ['WORD(struct uffdio_writeprotect, mode)', 2n],
  ['offsetof(struct sockaddr_ll, sll_ifindex)', 4n],
  ['offsetof(struct pollfd, events)', 4n],
  ['offsetof(struct pollfd, revents)', 6n],
  ...Object.entries(Errno).map(([name, value]): [string, bigint] => [name, BigInt(value)]),
  ...ERRNO_NAMES.flatMap((name, value): [string, bigint][] => (name ? [[name, BigInt(value)]] : [])),
];

requireCapability('cc')('the C compiler agrees with', () => {
  let compiled: bigint[];

  beforeAll(() => {
    const directory = mkdtempSync(join(tmpdir(), 'godwit-abi-'));
    try {
      const prints = ROWS.map(([expression]) => `  printf("%lld\\n", (long long)(${expression}));`);
      writeFileSync(join(directory, 'abi.c'), `${PREAMBLE}int main(void) {\n${prints.join('\n')}\n}\n`);
      execFileSync('cc', ['-o', join(directory, 'abi'), join(directory, 'abi.c')]);
      compiled = execFileSync(join(directory, 'abi'), { encoding: 'utf8' }).trim().split('\n').map(BigInt);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test.each(ROWS.map(([expression, ours], index) => ({ expression, ours, index })))('$expression = $ours', ({
    ours,
    index,
  }) => {
    expect(compiled[index]).toBe(ours);
  });

  test('every name of a userfaultfd feature that is used stands at its bit', () => {
    for (const [name, value] of numbersOf(uffd)) {
      if (name.startsWith('UFFD_FEATURE_')) {
        expect(uffd.UFFD_FEATURE_NAMES[value.toString(2).length - 1]).toBe(name.slice('UFFD_FEATURE_'.length));
      }
    }
  });
});

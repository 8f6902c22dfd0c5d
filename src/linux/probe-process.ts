/**
 * Questions about what this process may do to another one, asked of a sample.
 *
 * Owns: a sleeping process for the time of asking; it is no child of libuv, as QEMU is none (ptrace.ts).
 * Must hold: the answers hold for a QEMU of the same user as the daemon. A QEMU of another user is refused at its own
 * migration check, because only the attempt on it can tell.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { GodwitError } from '../base/errors.ts';
import {
  UFFD_FEATURE_MINOR_SHMEM,
  UFFD_FEATURE_MISSING_SHMEM,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
} from './abi/userfaultfd.ts';
import { openVcpuThrottle, type ThrottleMechanism } from './cpu-bandwidth.ts';
import { PidFd } from './pidfd.ts';
import type { Probe, ProbeNeed, Question } from './probe.ts';
import { chooseTracking, holdUpOneWrite, trackOneWrite } from './probe-tracking.ts';
import {
  identifyProcess,
  listOpenFiles,
  type ProcessIdentity,
  readCommandLine,
  readMappings,
  signalProcess,
} from './process.ts';
import { withStoppedThread } from './ptrace.ts';
import { Userfaultfd } from './userfaultfd.ts';

const SAMPLE = 'sleep';
const SAMPLE_SECONDS = 60;
const LOOK_EVERY_MS = 2;
/** A few seconds; then it is asked as it is. */
const MOST_LOOKS = 1000;

const FIX_PTRACE =
  'Run the daemon as root, or with CAP_SYS_PTRACE (systemd: AmbientCapabilities=CAP_SYS_PTRACE), or as the user of ' +
  'QEMU with sysctl kernel.yama.ptrace_scope=0; in a container allow the ptrace system call';
const FIX_USERFAULTFD =
  'Use a kernel with CONFIG_USERFAULTFD; without root: sysctl vm.unprivileged_userfaultfd=1, or chmod 0666 /dev/userfaultfd';
const FIX_KERNEL = 'Use a newer kernel (6.7 has all that is needed; Debian 13 and Ubuntu 24.04 do)';
const FIX_CGROUP = 'Give the daemon write access to the cpu cgroup of QEMU: root, or Delegate=cpu in the systemd unit';

export async function askAboutProcesses(answer: (question: Question) => Promise<Probe>): Promise<Probe[]> {
  const sample = await startSample();
  try {
    const probes: Probe[] = [];
    for (const question of questionsFor(sample.pid)) probes.push(await answer(question));
    return probes;
  } finally {
    signalProcess(sample, 'SIGKILL');
  }
}

function questionsFor(pid: number): Question[] {
  return [
    {
      id: 'ptrace',
      title: 'System calls inside QEMU (ptrace)',
      needed: 'always',
      fix: FIX_PTRACE,
      ask() {
        withStoppedThread(pid, () => undefined);
        return yamaScope();
      },
    },
    {
      id: 'pidfd',
      title: 'Descriptors out of QEMU (pidfd_getfd)',
      needed: 'always',
      fix: FIX_PTRACE,
      ask() {
        using process = PidFd.open(pid);
        using descriptor = process.duplicate(0);
        void descriptor;
        return undefined;
      },
    },
    {
      id: 'proc',
      title: 'Memory and files of QEMU in /proc',
      needed: 'always',
      fix: `Mount /proc without hidepid. ${FIX_PTRACE}`,
      ask() {
        readMappings(pid);
        listOpenFiles(pid);
        accessSync(`/proc/${pid}/pagemap`, constants.R_OK);
        closeSync(openSync(`/proc/${pid}/mem`, 'r'));
        return undefined;
      },
    },
    {
      id: 'userfaultfd',
      title: 'A userfaultfd inside QEMU',
      needed: 'always',
      fix: FIX_USERFAULTFD,
      ask() {
        using uffd = Userfaultfd.openInside(pid, { features: 0n, keepInside: false, allowUserModeOnly: true });
        return uffd.userModeOnly ? 'for faults of user mode only' : 'for all faults';
      },
    },
    {
      id: 'userfaultfd-kernel',
      title: "A userfaultfd for the kernel's own faults too",
      needed: 'post-copy',
      fix: FIX_USERFAULTFD,
      ask() {
        using uffd = Userfaultfd.openInside(pid, { features: 0n, keepInside: false });
        void uffd;
        return undefined;
      },
    },
    feature(pid, 'WP_ASYNC', UFFD_FEATURE_WP_ASYNC, 'optional'),
    feature(pid, 'WP_UNPOPULATED', UFFD_FEATURE_WP_UNPOPULATED, 'optional'),
    feature(pid, 'WP_HUGETLBFS_SHMEM', UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 'always'),
    feature(pid, 'MISSING_SHMEM', UFFD_FEATURE_MISSING_SHMEM, 'post-copy'),
    feature(pid, 'MINOR_SHMEM', UFFD_FEATURE_MINOR_SHMEM, 'optional'),
    {
      id: 'pagemap-scan',
      title: 'Finding written pages by the kernel (PAGEMAP_SCAN)',
      needed: 'optional',
      fix: `${FIX_KERNEL}. Write faults do as well`,
      ask: () => trackOneWrite(pid),
    },
    {
      id: 'write-faults',
      title: 'Finding written pages by write faults (--tracker groups)',
      needed: 'optional',
      fix: `${FIX_USERFAULTFD}. PAGEMAP_SCAN does as well`,
      ask: () => holdUpOneWrite(pid),
    },
    {
      id: 'tracking',
      title: 'Finding written pages in some way',
      needed: 'always',
      fix: FIX_KERNEL,
      ask: () => chooseTracking(pid),
    },
    throttle(
      pid,
      'cgroup-v1',
      'optional',
      'Slowing vCPUs by cgroup v1',
      `${FIX_CGROUP}. Version 2 or ptrace do as well`,
    ),
    throttle(
      pid,
      'cgroup-v2',
      'optional',
      'Slowing vCPUs by cgroup v2',
      `${FIX_CGROUP}. Version 1 or ptrace do as well`,
    ),
    throttle(pid, 'ptrace', 'optional', 'Slowing vCPUs by ptrace', `${FIX_PTRACE}. cgroups do as well`),
    throttle(pid, undefined, 'throttle', 'Slowing vCPUs in some way', FIX_CGROUP),
  ];
}

function feature(pid: number, name: string, bit: bigint, needed: ProbeNeed): Question {
  return {
    id: `userfaultfd-${name.toLowerCase().replaceAll('_', '-')}`,
    title: `Userfaultfd feature ${name}`,
    needed,
    fix: FIX_KERNEL,
    ask() {
      using uffd = Userfaultfd.openInside(pid, { features: bit, keepInside: false, allowUserModeOnly: true });
      void uffd;
      return undefined;
    },
  };
}

function throttle(
  pid: number,
  mechanism: ThrottleMechanism | undefined,
  needed: ProbeNeed,
  title: string,
  fix: string,
): Question {
  return {
    id: mechanism === undefined ? 'throttle' : `throttle-${mechanism}`,
    title,
    needed,
    fix,
    ask() {
      const choice = mechanism === undefined ? {} : { mechanisms: [mechanism] };
      using opened = openVcpuThrottle({ pid, tids: [pid], name: 'doctor', ...choice });
      return mechanism === undefined ? opened.mechanism : undefined;
    },
  };
}

function yamaScope(): string {
  try {
    return `kernel.yama.ptrace_scope is ${readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8').trim()}`;
  } catch {
    return 'no Yama';
  }
}

async function startSample(): Promise<ProcessIdentity> {
  const shell = spawn('sh', ['-c', `${SAMPLE} ${SAMPLE_SECONDS} 2>/dev/null >&2 & echo $!`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [text] = (await once(shell.stdout, 'data')) as [Buffer];
  const identity = identifyProcess(Number(text.toString()));
  if (identity === undefined) throw new GodwitError('GW_INTERNAL', { reason: 'the sample process has ended' });
  await becomesItself(identity.pid);
  return identity;
}

/** The shell's copy of itself is not to be asked: it is about to execute the sample, and is another process then for ptrace. */
async function becomesItself(pid: number): Promise<void> {
  for (let look = 0; look < MOST_LOOKS && readCommandLine(pid)[0] !== SAMPLE; look++) await delay(LOOK_EVERY_MS);
}

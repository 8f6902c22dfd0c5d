/**
 * Questions about the machine: processor, memory file system, limits, KVM.
 *
 * Owns: the questions and the fixes.
 */
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { formatSize } from '../base/units.ts';
import { hugePagesAt } from './huge-tmpfs.ts';
import type { Question } from './probe.ts';
import { becomeRealTime, endRealTime } from './real-time.ts';

/** linux/magic.h */
const TMPFS_MAGIC = 0x01021994;
const RAM_DIRECTORY = '/dev/shm';

export const MACHINE_QUESTIONS: readonly Question[] = [
  {
    id: 'machine',
    title: 'Processor architecture',
    needed: 'always',
    fix: 'Use an x86-64 host: system calls inside QEMU are not written for other machines yet',
    ask() {
      if (process.arch !== 'x64') throw new Error(`this is ${process.arch}`);
      return 'x86-64';
    },
  },
  {
    id: 'ram-directory',
    title: `Guest memory on ${RAM_DIRECTORY}`,
    needed: 'always',
    fix: `Mount a tmpfs there: mount -t tmpfs -o size=90% tmpfs ${RAM_DIRECTORY}`,
    ask() {
      const { type, bavail, blocks, bsize } = statfsSync(RAM_DIRECTORY);
      if (type !== TMPFS_MAGIC) throw new Error(`it is no tmpfs but file system type 0x${type.toString(16)}`);
      accessSync(RAM_DIRECTORY, constants.W_OK);
      if (bavail === 0) throw new Error('it is full');
      const huge = hugePagesAt(RAM_DIRECTORY);
      const room = `tmpfs, ${formatSize(bavail * bsize)} free of ${formatSize(blocks * bsize)}`;
      return huge === undefined ? room : `${room}, takes huge pages (${huge})`;
    },
  },
  {
    id: 'open-files',
    title: 'Limit of open files',
    needed: 'always',
    fix: 'Raise it: LimitNOFILE=65536 in the systemd unit, or ulimit -n 65536',
    ask() {
      const limit = readLimit('Max open files');
      if (limit < 1024) throw new Error(`it is ${limit}; each VM and each migration needs some tens`);
      return String(limit);
    },
  },
  {
    id: 'locked-memory',
    title: 'Limit of locked memory',
    needed: 'optional',
    fix: 'For VMs that lock their memory: LimitMEMLOCK=infinity in the systemd unit, or ulimit -l unlimited',
    ask() {
      const limit = readLimit('Max locked memory');
      if (Number.isFinite(limit) && !hasCapability(CAP_IPC_LOCK)) {
        throw new Error(`it is ${formatSize(limit)}: too little for a VM started with -overcommit mem-lock=on`);
      }
      return Number.isFinite(limit) ? `${formatSize(limit)}, which CAP_IPC_LOCK overrides` : 'none';
    },
  },
  {
    id: 'real-time',
    title: 'Real-time scheduling of the threads that serve page faults',
    needed: 'optional',
    fix: 'For short page faults in post-copy on a busy host: run the daemon as root, or with CAP_SYS_NICE, or LimitRTPRIO=1',
    ask() {
      if (!becomeRealTime()) throw new Error('it is not permitted');
      endRealTime();
      return undefined;
    },
  },
  {
    id: 'kvm-device',
    title: 'KVM device',
    needed: 'kvm',
    fix: 'Load the module (modprobe kvm_intel or kvm_amd) and give the daemon access: it must be root or in group kvm',
    ask() {
      accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
      return undefined;
    },
  },
  {
    id: 'kvm-cpu',
    title: 'Processor with hardware virtualization',
    needed: 'kvm',
    fix: 'Switch it on in the firmware, or for a virtual machine in its host (nested virtualization). VMs use TCG meanwhile',
    ask() {
      const flags =
        /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];
      const found = flags.find((flag) => flag === 'vmx' || flag === 'svm');
      if (found === undefined) throw new Error('the processor shows neither vmx nor svm');
      return found;
    },
  },
];

/** linux/capability.h */
const CAP_IPC_LOCK = 14n;

function hasCapability(bit: bigint): boolean {
  const effective = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${effective}`) & (1n << bit)) !== 0n;
}

/** The soft limit of this process, which QEMU inherits; Infinity for unlimited. */
function readLimit(name: string): number {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0] ?? 'unlimited';
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

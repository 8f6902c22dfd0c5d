/**
 * Numbers and layouts of linux/userfaultfd.h (https://man7.org/linux/man-pages/man2/ioctl_userfaultfd.2.html).
 *
 * Owns: data only. Structures are arrays of 64-bit words; the comment beside a number gives the words.
 */
import { io, ior, iowr } from './ioctl.ts';

const UFFDIO = 0xaa;

/** On an open /dev/userfaultfd; the argument is the flags. */
export const USERFAULTFD_IOC_NEW: number = io(UFFDIO, 0x00);
/** {api, features, ioctls} */
export const UFFDIO_API: number = iowr(UFFDIO, 0x3f, 24);
/** {start, len, mode, ioctls} */
export const UFFDIO_REGISTER: number = iowr(UFFDIO, 0x00, 32);
/** {start, len} */
export const UFFDIO_UNREGISTER: number = ior(UFFDIO, 0x01, 16);
/** {start, len} */
export const UFFDIO_WAKE: number = ior(UFFDIO, 0x02, 16);
/** {dst, src, len, mode, signed copied} */
export const UFFDIO_COPY: number = iowr(UFFDIO, 0x03, 40);
/** {start, len, mode, signed zeropage} */
export const UFFDIO_ZEROPAGE: number = iowr(UFFDIO, 0x04, 32);
/** {start, len, mode} */
export const UFFDIO_WRITEPROTECT: number = iowr(UFFDIO, 0x06, 24);

export const UFFD_API = 0xaan;

export const UFFD_FEATURE_PAGEFAULT_FLAG_WP: bigint = 1n << 0n;
export const UFFD_FEATURE_MISSING_HUGETLBFS: bigint = 1n << 4n;
export const UFFD_FEATURE_MISSING_SHMEM: bigint = 1n << 5n;
export const UFFD_FEATURE_THREAD_ID: bigint = 1n << 8n;
export const UFFD_FEATURE_MINOR_SHMEM: bigint = 1n << 10n;
export const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: bigint = 1n << 12n;
export const UFFD_FEATURE_WP_UNPOPULATED: bigint = 1n << 13n;
export const UFFD_FEATURE_WP_ASYNC: bigint = 1n << 15n;

/** The features by name, for messages. */
export const UFFD_FEATURE_NAMES: readonly string[] = [
  'PAGEFAULT_FLAG_WP',
  'EVENT_FORK',
  'EVENT_REMAP',
  'EVENT_REMOVE',
  'MISSING_HUGETLBFS',
  'MISSING_SHMEM',
  'EVENT_UNMAP',
  'SIGBUS',
  'THREAD_ID',
  'MINOR_HUGETLBFS',
  'MINOR_SHMEM',
  'EXACT_ADDRESS',
  'WP_HUGETLBFS_SHMEM',
  'WP_UNPOPULATED',
  'POISON',
  'WP_ASYNC',
  'MOVE',
];

/** Flag of userfaultfd(2): faults that the kernel itself takes are not handled (no privilege needed). */
export const UFFD_USER_MODE_ONLY = 1;

export const UFFDIO_REGISTER_MODE_MISSING = 1n;
export const UFFDIO_REGISTER_MODE_WP = 2n;
export const UFFDIO_REGISTER_MODE_MINOR = 4n;

export const UFFDIO_COPY_MODE_DONTWAKE = 1n;
export const UFFDIO_COPY_MODE_WP = 2n;
export const UFFDIO_WRITEPROTECT_MODE_WP = 1n;

/** struct uffd_msg: event in the low byte of word 0; flags; address; thread id in the low half of word 3. */
export const UFFD_MESSAGE_WORDS = 4;
export const UFFD_EVENT_PAGEFAULT = 0x12;
export const UFFD_PAGEFAULT_FLAG_WRITE = 1;
export const UFFD_PAGEFAULT_FLAG_WP = 2;
export const UFFD_PAGEFAULT_FLAG_MINOR = 4;

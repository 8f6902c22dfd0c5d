/**
 * QEMU's own ways to migrate, each set as somebody who knows it would set it for these links and workloads.
 *
 * Must hold: what is not named here is QEMU's default. Both sides get the same settings.
 */

export interface QemuMethod {
  readonly name: string;
  readonly description: string;
  readonly capabilities: readonly string[];
  readonly parameters: Readonly<Record<string, number | string>>;
  /** Goes to post-copy when the first pass over all memory is done. */
  readonly switchToPostCopy: boolean;
}

/** 100 Gbit/s: the link is the limit and not QEMU's default of 128 MiB/s. */
const UNLIMITED = { 'max-bandwidth': 12_500_000_000 };
/** As many as CPUs; QEMU's default as well. */
const CHANNELS = { 'multifd-channels': 2 };
/** Our own default; QEMU's is 300 ms. */
const SHORT_DOWNTIME_MS = 50;
/** All of the working set fits. */
const XBZRLE_CACHE_BYTES = 2 ** 27;

function method(
  name: string,
  description: string,
  capabilities: readonly string[] = [],
  parameters: QemuMethod['parameters'] = {},
): QemuMethod {
  return {
    name: `qemu-${name}`,
    description,
    capabilities,
    parameters: { ...UNLIMITED, ...parameters },
    switchToPostCopy: capabilities.includes('postcopy-ram'),
  };
}

export const QEMU_METHODS: readonly QemuMethod[] = [
  method('pre-copy', 'as it comes: downtime-limit 300 ms'),
  method('pre-copy-50ms', `with downtime-limit ${SHORT_DOWNTIME_MS} ms, as godwit's`, [], {
    'downtime-limit': SHORT_DOWNTIME_MS,
  }),
  method('multifd', 'two connections', ['multifd'], CHANNELS),
  method('multifd-zstd', 'two connections, zstd level 1', ['multifd'], {
    ...CHANNELS,
    'multifd-compression': 'zstd',
    'multifd-zstd-level': 1,
  }),
  method('multifd-zstd-6', 'two connections, zstd level 6: denser, for a slow link', ['multifd'], {
    ...CHANNELS,
    'multifd-compression': 'zstd',
    'multifd-zstd-level': 6,
  }),
  method('xbzrle', 'changes of pages only, cache 128 MiB', ['xbzrle'], { 'xbzrle-cache-size': XBZRLE_CACHE_BYTES }),
  method('auto-converge', 'slows the vCPUs: 20 % first, then 10 % more each time', ['auto-converge']),
  method('post-copy', 'after one pass of pre-copy, with preemption for faults', ['postcopy-ram', 'postcopy-preempt']),
];

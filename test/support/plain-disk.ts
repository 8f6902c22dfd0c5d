/** A disk without anything special, as QEMU tells of one. */
import type { DiskFacts } from '../../src/qemu/disk-facts.ts';

export const PLAIN_DISK: DiskFacts = {
  name: 'd0',
  id: 'd0',
  node: 'disk0',
  file: '/shared/a.img',
  image: '/shared/a.img',
  format: 'raw',
  virtualBytes: 2 ** 20,
  backing: [],
  besides: [],
  encrypted: false,
  readonly: false,
  ignoresFlush: false,
  direct: false,
};

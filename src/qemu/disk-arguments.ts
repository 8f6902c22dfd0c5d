/**
 * The disks of a VM that is created here, on its command line.
 *
 * Must hold: a disk's name says its place in the spec; a failed request of a disk that goes through the block server stops
 * the VM and is kept: it is submitted again when the VM goes on, wherever that is.
 */
import { GodwitError } from '../base/errors.ts';
import { checkSocketPath } from './socket-path.ts';
import type { DiskSpec } from './spec.ts';

const SCSI_CONTROLLER = 'scsi0';

/** Of the block node, and of the export of a disk that goes through the block server. */
export function diskName(index: number): string {
  return `disk${index}`;
}

/** @param nbdSocketPath - of the VM's block server; for disks that go through it */
export function diskArguments(disks: readonly DiskSpec[], nbdSocketPath: string | undefined): string[] {
  const isScsi = disks.some(({ bus }) => bus === 'virtio-scsi');
  const controller = isScsi ? ['-device', `virtio-scsi-pci,id=${SCSI_CONTROLLER}`] : [];
  return [...controller, ...disks.flatMap((disk, index) => oneDisk(disk, index, nbdSocketPath))];
}

function oneDisk(disk: DiskSpec, index: number, nbdSocketPath: string | undefined): string[] {
  const isServed = disk.through === 'block-server';
  const node = isServed ? servedNode(disk, index, nbdSocketPath) : fileNode(disk, index);
  const writeCache = disk.cache === 'writethrough' || disk.cache === 'directsync' ? 'off' : 'on';
  const device =
    disk.bus === 'virtio-scsi'
      ? `scsi-hd,id=scsi-disk${index},bus=${SCSI_CONTROLLER}.0`
      : `virtio-blk-pci,id=virtio-disk${index}`;
  const errors = isServed ? ',rerror=stop,werror=stop' : '';
  return [
    ...['-blockdev', JSON.stringify(node)],
    ...['-device', `${device},drive=${diskName(index)},write-cache=${writeCache}${errors}`],
  ];
}

function fileNode({ path, format, readonly = false, cache = 'writeback' }: DiskSpec, index: number): object {
  return {
    driver: format,
    'node-name': diskName(index),
    'read-only': readonly,
    cache: { direct: cache === 'none' || cache === 'directsync', 'no-flush': cache === 'unsafe' },
    file: { driver: path.startsWith('/dev/') ? 'host_device' : 'file', filename: path },
  };
}

/**
 * reconnect-delay=0: a server that has gone is an error at once, and asked again with the next request. With a delay QEMU
 * sends what was cancelled once more by itself, while `stop` waits (block/nbd.c).
 */
function servedNode({ readonly = false }: DiskSpec, index: number, nbdSocketPath: string | undefined): object {
  if (nbdSocketPath === undefined) throw new GodwitError('GW_INTERNAL', { reason: 'the VM has no block server' });
  return {
    driver: 'nbd',
    'node-name': diskName(index),
    'read-only': readonly,
    discard: 'unmap',
    server: { type: 'unix', path: checkSocketPath(nbdSocketPath) },
    export: diskName(index),
    'reconnect-delay': 0,
  };
}

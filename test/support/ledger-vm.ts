/**
 * A VM whose Linux guest keeps a ledger on a disk that goes through the block server.
 *
 * Owns: how such a VM is made, and how its guest and its block server are asked. The image lies in a directory of the test's
 * own: both hosts see it.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type LedgerProgress, lastLedgerProgress, readComplaints } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages } from '../../guest/linux/images.ts';
import { DiskServerClient } from '../../src/storage/vm-disks/control-client.ts';
import { diskServerPaths } from '../../src/storage/vm-disks/disk-server-record.ts';
import { VmDiskServer } from '../../src/storage/vm-disks/vm-disk-server.ts';
import { TEST_QEMU } from './capability.ts';
import type { ReachedHost } from './host-pair.ts';
import { waitUntil } from './wait-until.ts';

export interface LedgerVmOptions {
  readonly name: string;
  /** It is made. */
  readonly image: string;
  readonly bus?: 'virtio-blk' | 'virtio-scsi';
  readonly through?: 'qemu' | 'block-server';
  readonly qemu?: string;
  /** Default 8; each has one request at a time. */
  readonly threads?: number;
  readonly trim?: boolean;
  /** The disk has a thread of QEMU's of its own. */
  readonly iothread?: boolean;
  readonly qemuArgs?: readonly string[];
}

const IMAGE_BYTES: number = 8 * 2 ** 20;

/** Starts it and waits until the guest has written. */
export async function createLedgerVm(at: ReachedHost, options: LedgerVmOptions): Promise<void> {
  const { name, image, bus = 'virtio-blk', through = 'block-server', threads = 8, trim = false } = options;
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  const words = [`godwit.disk=threads:${threads},blocks:4,trim:${trim ? 1 : 0}`];
  const cmdline = linuxGuestCommandLine({ fillMiB: 4, workingSetMiB: 1, rate: 100, check: 'off' }, words);
  await at.client.createVm({
    name,
    memory: '128MiB',
    accel: 'tcg',
    qemu: options.qemu ?? TEST_QEMU,
    boot: { ...linuxGuestImages(), cmdline },
    disks: [{ path: image, bus, through }],
    qemuArgs: [...(options.qemuArgs ?? []), ...(options.iothread ? iothreadOf(bus) : [])],
  });
  await ledgerGrows(at, name);
}

function iothreadOf(bus: 'virtio-blk' | 'virtio-scsi'): string[] {
  const device = bus === 'virtio-scsi' ? 'scsi0' : 'virtio-disk0';
  return ['-object', 'iothread,id=disk-thread', '-set', `device.${device}.iothread=disk-thread`];
}

/** Waits until the guest has written more, and says how far it is; throws when it has complained. */
export async function ledgerGrows(at: ReachedHost, vm: string, timeoutMs = 60_000): Promise<LedgerProgress> {
  const { consoleLogPath } = await at.client.showVm(vm);
  const read = (): string => readFileSync(consoleLogPath!, 'latin1');
  const before = read().length;
  const writesBefore = lastLedgerProgress(read())?.writes ?? 0;
  return await waitUntil(
    `the guest of ${vm} goes on writing`,
    () => {
      const text = read();
      const complaints = readComplaints(text);
      if (complaints.length > 0) throw new Error(`The guest of ${vm} complains: ${complaints.slice(0, 5).join('; ')}`);
      const now = lastLedgerProgress(text.slice(before));
      return now && now.writes > writesBefore ? now : undefined;
    },
    { timeoutMs },
  );
}

/** What the guest has said of damage. */
export async function ledgerComplaints(at: ReachedHost, vm: string): Promise<string[]> {
  const { consoleLogPath } = await at.client.showVm(vm);
  return readComplaints(readFileSync(consoleLogPath!, 'latin1'));
}

async function directoryOf(at: ReachedHost, vm: string): Promise<string> {
  const { qmpPath } = await at.client.showVm(vm);
  return dirname(qmpPath!);
}

/** The block server of a VM that this host has. The caller disposes of it. */
export async function findDiskServer(at: ReachedHost, vm: string): Promise<VmDiskServer> {
  const found = await VmDiskServer.find(await directoryOf(at, vm));
  if (!found) throw new Error(`VM ${vm} has no block server on host ${at.host.name}`);
  return found;
}

/** For what only tests say to it. The caller disposes of it. */
export async function openDiskControl(at: ReachedHost, vm: string): Promise<DiskServerClient> {
  return await DiskServerClient.connect(diskServerPaths(await directoryOf(at, vm)).controlSocket);
}

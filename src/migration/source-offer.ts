/**
 * The offer: what the destination needs to know to create the VM's QEMU and to judge whether the VM can run there.
 *
 * Owns: how a running VM is described. Must hold: the description is of QEMU as it runs now, not of a specification
 * that it was once started from.
 */
import { randomBytes } from 'node:crypto';
import type { JsonValue } from '../base/errors.ts';
import { readCommandLine, readWorkingDirectory } from '../linux/process.ts';
import type { DigestScheme } from '../memory/digest.ts';
import { offerNics } from '../network/nic.ts';
import { printCpuFeature } from '../qemu/cpu-features.ts';
import { visibleMachine } from '../qemu/fit.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { JoinPurpose, Message } from '../wire/messages.ts';
import type { MigrationMode } from './request.ts';
import { type GroupPart, offerSharing } from './shared-part.ts';
import type { SourceGuest } from './source-guest.ts';
import type { VmRecord } from './vm-record.ts';

export interface OfferFacts {
  readonly id: string;
  readonly vm: VmRecord;
  readonly sessionKey: string;
  readonly hostName: string;
  readonly mode: MigrationMode;
  /** The epoch that the VM will have. */
  readonly epoch: number;
  readonly verify: DigestScheme | null;
  readonly checkOnly: boolean;
  /** Absent: the VM moves alone. */
  readonly group?: GroupPart;
  readonly disks?: readonly OfferedDisk[];
}

export function makeOffer(facts: OfferFacts, guest: SourceGuest): Message<'offer'> {
  const { vm } = facts;
  const found = guest.facts;
  const visible = visibleMachine(found);
  const [binary = vm.binary, ...args] = readCommandLine(vm.pid);
  return {
    kind: 'offer',
    migrationId: facts.id,
    sessionKey: facts.sessionKey,
    epoch: facts.epoch,
    mode: facts.mode,
    verify: facts.verify,
    checkOnly: facts.checkOnly,
    sourceHost: facts.hostName,
    ...(facts.disks && facts.disks.length > 0 ? { disks: [...facts.disks] } : {}),
    vm: {
      name: vm.name,
      uuid: vm.uuid,
      wasRunning: found.running,
      qemuVersion: found.qemuVersion,
      machineType: found.machineType,
      accel: found.accel,
      cpuModel: found.cpuModel,
      cpuFeatures: found.cpuFeatures.map(printCpuFeature),
      binary,
      args,
      memory: guest.layout.toJSON(),
      diskPaths: found.disks.map((disk) => disk.file),
      consoleBytes: 0,
      facts: {
        directory: readWorkingDirectory(vm.pid),
        vcpus: visible.vcpus,
        devices: visible.devices,
        createdAt: vm.createdAt,
        ...(guest.diskServer ? { servedDisks: guest.diskServer.offer as unknown as JsonValue } : {}),
        ...offerNics(vm.nics ?? []),
        ...(facts.group ? { sharedMemory: offerSharing(vm.name, facts.group, guest.shared) } : {}),
        // A mere question needs no secret.
        ...(facts.checkOnly || vm.contentKey === undefined ? {} : { contentKey: vm.contentKey }),
      },
    },
  };
}

/** What every further connection of the migration must show. */
export function newSessionKey(): string {
  return randomBytes(32).toString('hex');
}

export function encodeJoin(sessionKey: string, purpose: JoinPurpose): Uint8Array {
  return encodeControl({ kind: 'join', sessionKey, purpose });
}

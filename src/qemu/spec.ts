/**
 * What a VM is made from, checked and with every default filled in (docs/spec.md; the API validates it).
 */

export type AcceleratorChoice = 'auto' | 'kvm' | 'tcg';
export type Accelerator = 'kvm' | 'tcg';

export interface DiskSpec {
  /** Image file or block device. */
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly readonly?: boolean;
  /** Default `writeback`: QEMU flushes at the source and drops its cache at the destination, so it is safe to move. */
  readonly cache?: 'none' | 'writeback' | 'writethrough' | 'directsync' | 'unsafe';
  /** What the guest sees; default `virtio-blk`. */
  readonly bus?: 'virtio-blk' | 'virtio-scsi';
  /** Who reads and writes the image; default `qemu`. The block server can cancel requests when the VM moves (M3). */
  readonly through?: 'qemu' | 'block-server';
}

/** Memory that this VM shares with other VMs of its host: a region. */
export interface SharedMemorySpec {
  /** Names the region on its host: VMs that give the same name have the same memory. */
  readonly name: string;
  /** A power of two, since it becomes a BAR of a PCI device. */
  readonly sizeBytes: number;
}

/** A network interface. */
export interface NicSpec {
  /** QEMU's id of its backend. */
  readonly name: string;
  /** null: QEMU's own user-mode network. */
  readonly bridge: string | null;
  readonly mac: string;
  /** QEMU's device. */
  readonly model: string;
  /** What a virtio guest is told, in bytes; null: nothing. */
  readonly mtu: number | null;
}

export interface VmSpec {
  readonly name: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** A machine type or an alias of one, such as `q35`. */
  readonly machine: string;
  readonly cpu: string;
  readonly accel: AcceleratorChoice;
  /** Binary: a path, or a name to look up in PATH. */
  readonly qemu: string;
  readonly boot?: { readonly kernel: string; readonly initrd?: string; readonly cmdline?: string };
  /** BIOS image. */
  readonly firmware?: string;
  readonly disks: readonly DiskSpec[];
  readonly nics: readonly NicSpec[];
  readonly sharedMemory: readonly SharedMemorySpec[];
  /** Further QEMU arguments, as they are. */
  readonly qemuArgs: readonly string[];
}

/** Modern chipset with PCI Express; every QEMU since 2.4 has it, versioned, so it can be pinned. */
export const DEFAULT_MACHINE = 'q35';

/**
 * The same features on every host, with KVM and with TCG, in every QEMU version (they belong to the machine type).
 * `host` and `max` are not: they show what this CPU or this QEMU can do, and a guest that has seen a feature goes on
 * using it where it is missing. Whoever has equal hosts may choose them; the fit check then compares what the guest sees.
 */
export const DEFAULT_CPU = 'qemu64';

/**
 * The command line of a VM that is created here.
 *
 * Must hold: RAM is a shared file, so that godwit can read it and QEMU leaves it out of the device state
 * (x-ignore-shared skips *named* shared files only, from QEMU 8.1 on); no device exists that was not asked for
 * (-nodefaults); everything that names a path of this host comes from `endpoints`, so that a destination can have its
 * own (see derive.ts). Must never: use -no-reboot or -no-shutdown; a guest may reboot at any time.
 */
import { GodwitError } from '../base/errors.ts';
import { diskArguments } from './disk-arguments.ts';
import { escapeComma } from './option-string.ts';
import { checkSocketPath } from './socket-path.ts';
import type { Accelerator, NicSpec, SharedMemorySpec, VmSpec } from './spec.ts';

/** What QEMU creates on this host for one VM; see `vmPaths`. Other sockets and logs go beside the QMP socket. */
export interface Endpoints {
  /** On tmpfs; created by QEMU and unlinked by `startQemu` once it is open. */
  readonly ramPath: string;
  readonly qmpPath: string;
  readonly consoleSocketPath: string;
  readonly consoleLogPath: string;
  /** Files of the regions that the VM shares with others, by the id of the memory backend; they are there before QEMU. */
  readonly sharedPaths?: ReadonlyMap<string, string>;
  /** Of the VM's block server, which is there before QEMU; for a VM with disks that go through it. */
  readonly nbdSocketPath?: string;
  /** Names of the tap devices that QEMU makes for interfaces in bridges, by the id of the interface's backend. */
  readonly taps?: ReadonlyMap<string, string>;
}

export const RAM_ID = 'ram0';
export const QMP_CHARDEV_ID = 'godwit-qmp';
export const CONSOLE_CHARDEV_ID = 'godwit-console';

/** QEMU wants its RAM in whole pages of every size it may map; 1 MiB is the unit of -m as people write it. */
const MEMORY_UNIT_BYTES = 2 ** 20;

/** `memoryBytes`, rounded up to what QEMU takes. */
export function ramBytesOf(spec: VmSpec): number {
  return Math.ceil(spec.memoryBytes / MEMORY_UNIT_BYTES) * MEMORY_UNIT_BYTES;
}

/** QEMU's arguments, without the binary. Throws GW_INPUT_INVALID when a path cannot be a socket. */
export function buildCommandLine(
  spec: VmSpec,
  endpoints: Endpoints,
  identity: { readonly uuid: string; readonly accel: Accelerator },
): string[] {
  const megabytes = ramBytesOf(spec) / MEMORY_UNIT_BYTES;
  const args = [
    ...['-name', `guest=${escapeComma(spec.name)},debug-threads=on`],
    ...['-uuid', identity.uuid],
    ...['-machine', `${spec.machine},memory-backend=${RAM_ID}`],
    ...['-accel', identity.accel],
    ...['-cpu', spec.cpu],
    ...['-smp', smpOf(spec, identity.accel)],
    ...['-m', `size=${megabytes}M`],
    ...['-object', ramObject(RAM_ID, `${megabytes}M`, endpoints.ramPath)],
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-vga', 'none'],
  ];
  if (spec.firmware !== undefined) args.push('-bios', spec.firmware);
  if (spec.boot) {
    args.push('-kernel', spec.boot.kernel);
    if (spec.boot.initrd !== undefined) args.push('-initrd', spec.boot.initrd);
    if (spec.boot.cmdline !== undefined) args.push('-append', spec.boot.cmdline);
  }
  args.push('-chardev', consoleChardev(endpoints), '-serial', `chardev:${CONSOLE_CHARDEV_ID}`);
  args.push(...diskArguments(spec.disks, endpoints.nbdSocketPath));
  for (const nic of spec.nics) args.push(...nicArguments(nic, endpoints));
  for (const region of spec.sharedMemory) args.push(...sharedArguments(region, endpoints));
  return [...args, ...spec.qemuArgs, ...qmpArguments(endpoints)];
}

/**
 * QEMU translates locked instructions to plain ones for a machine that can only ever have one vCPU (accel/tcg,
 * tcg_cpu_init_cflags); on memory that another QEMU has as well increments would be lost. One more that may be plugged in is enough.
 */
function smpOf({ vcpus, sharedMemory }: VmSpec, accel: Accelerator): string {
  return accel === 'tcg' && vcpus === 1 && sharedMemory.length > 0 ? '1,maxcpus=2' : String(vcpus);
}

/** A memory backend in a shared file. */
export function ramObject(id: string, size: string, path: string): string {
  return `memory-backend-file,id=${id},size=${size},mem-path=${escapeComma(path)},share=on`;
}

/** QEMU's id of the memory backend of a region. */
export function sharedBackendId(region: string): string {
  return `shared-${region}`;
}

/** A region as a PCI device. Without master=on QEMU refuses to migrate it ("peer mode"). */
function sharedArguments({ name, sizeBytes }: SharedMemorySpec, { sharedPaths }: Endpoints): string[] {
  const id = sharedBackendId(name);
  const path = sharedPaths?.get(id);
  if (path === undefined) throw new GodwitError('GW_INTERNAL', { reason: `the shared memory ${name} has no file` });
  return [
    ...['-object', ramObject(id, String(sizeBytes), path)],
    ...['-device', `ivshmem-plain,id=ivshmem-${name},memdev=${id},master=on`],
  ];
}

/** Without an option ROM, which is memory of the device and would move while the VM stands still: no boot over the network. */
function nicArguments({ name, bridge, mac, model, mtu }: NicSpec, { taps }: Endpoints): string[] {
  const tap = taps?.get(name);
  if (bridge !== null && tap === undefined) {
    throw new GodwitError('GW_INTERNAL', { reason: `the network interface ${name} has no tap` });
  }
  const backend = tap === undefined ? 'user' : `tap,ifname=${tap},script=no,downscript=no`;
  const hostMtu = mtu !== null && model.startsWith('virtio') ? `,host_mtu=${mtu}` : '';
  return [
    ...['-netdev', `${backend},id=${name}`],
    ...['-device', `${model},id=nic-${name},netdev=${name},mac=${mac},romfile=${hostMtu}`],
  ];
}

/** A socket to watch and type at, and a file that keeps all that the guest wrote. */
export function consoleChardev(endpoints: Endpoints): string {
  const path = escapeComma(checkSocketPath(endpoints.consoleSocketPath));
  const log = escapeComma(endpoints.consoleLogPath);
  return `socket,id=${CONSOLE_CHARDEV_ID},path=${path},server=on,wait=off,logfile=${log},logappend=on`;
}

export function qmpArguments(endpoints: Endpoints): string[] {
  return ['-chardev', qmpChardev(endpoints.qmpPath), '-mon', `chardev=${QMP_CHARDEV_ID},mode=control`];
}

export function qmpChardev(qmpPath: string): string {
  return `socket,id=${QMP_CHARDEV_ID},path=${escapeComma(checkSocketPath(qmpPath))},server=on,wait=off`;
}

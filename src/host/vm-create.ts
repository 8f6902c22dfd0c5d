/**
 * Starts the QEMU of a new VM.
 *
 * Must hold: what can be found wrong before QEMU starts is found before; when the start fails nothing is left, neither
 * a process nor a file, and the error has QEMU's own words.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs';
import { completeNic } from '../api/nic-schema.ts';
import { completeDisk, type VmSpecBody } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { DEFAULT_MTU } from '../base/network-words.ts';
import { type VmPaths, type VmRecord, vmPaths } from '../migration/vm-record.ts';
import { findNetworkBlockers } from '../network/bridge-check.ts';
import { type AttachedNic, attach, tapsOf } from '../network/nic.ts';
import { plugInTaps } from '../network/taps.ts';
import { resolveAccelerator } from '../qemu/accelerator.ts';
import { parseArguments } from '../qemu/arguments.ts';
import { buildCommandLine, ramBytesOf } from '../qemu/command-line.ts';
import { diskName } from '../qemu/disk-arguments.ts';
import { findBinary, killQemu, type StartedQemu, startQemu } from '../qemu/process.ts';
import { inspectRam } from '../qemu/ram.ts';
import { findSharedIds, type SharedRegion, sharedRegions } from '../qemu/shared-memory.ts';
import { MAX_SOCKET_PATH_BYTES } from '../qemu/socket-path.ts';
import type { VmSpec } from '../qemu/spec.ts';
import { diskServerPaths, type ServedDiskFacts } from '../storage/vm-disks/disk-server-record.ts';
import { VmDiskServer } from '../storage/vm-disks/vm-disk-server.ts';
import type { MacClaims } from './mac-claims.ts';
import { lackOfRoom } from './memory-room.ts';
import type { RegionClaim } from './region-claim.ts';
import type { SharedRegions } from './shared-regions.ts';
import type { StoredVm } from './vm-store.ts';

export interface CreatingHost {
  readonly name: string;
  readonly stateDirectory: string;
  /** RAM of VMs on their way here. */
  readonly promisedBytes: number;
  readonly regions: Pick<SharedRegions, 'newBytesOf' | 'claim' | 'adopt'>;
  readonly macs: Pick<MacClaims, 'claim'>;
}

export async function createVm(body: VmSpecBody, host: CreatingHost): Promise<StoredVm> {
  const wanted = body.nics.map(completeNic);
  using addresses = host.macs.claim(body.name, wanted);
  const spec = toSpec(body, addresses.of(wanted));
  const instance = randomBytes(4).toString('hex');
  const paths = vmPaths(host.stateDirectory, spec.name, instance);
  checkName(spec.name, paths);
  checkFiles(spec);
  const nics = attach(
    spec.nics.map(({ name, bridge, mac, mtu }) => ({ name, bridge, mac, mtu: mtu ?? DEFAULT_MTU, addresses: [] })),
    instance,
  );
  await checkNetwork(nics);
  const { promisedBytes, regions } = host;
  const sharedBytes = regions.newBytesOf(spec.sharedMemory);
  const lack = lackOfRoom({ ramBytes: ramBytesOf(spec), sharedBytes, ramPath: paths.ram, promisedBytes }, host.name);
  if (lack) throw lack;
  using claim = regions.claim(spec.name, spec.sharedMemory);
  const uuid = randomUUID();
  const { accel } = resolveAccelerator(spec.accel);
  const args = buildCommandLine(
    spec,
    {
      ramPath: paths.ram,
      qmpPath: paths.qmp,
      consoleSocketPath: paths.consoleSocket,
      consoleLogPath: paths.consoleLog,
      sharedPaths: claim.paths,
      nbdSocketPath: diskServerPaths(paths.directory).nbdSocket,
      taps: tapsOf(nics),
    },
    { uuid, accel },
  );
  const binary = findBinary(spec.qemu);
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
  let diskServer: VmDiskServer | undefined;
  try {
    diskServer = await serveDisks(spec, paths);
    const started = await startQemu({
      binary,
      args,
      logPath: paths.qemuLog,
      qmpPath: paths.qmp,
      ramPaths: [paths.ram],
    });
    const mapped = await settle(started, args, claim, nics);
    await diskServer?.guard(started.identity);
    await diskServer?.admit();
    diskServer?.[Symbol.dispose]();
    const record: VmRecord = {
      name: spec.name,
      uuid,
      epoch: 1,
      pid: started.identity.pid,
      startTicks: started.identity.startTicks,
      binary,
      args,
      qmpPath: paths.qmp,
      consoleLogPath: paths.consoleLog,
      consoleSocketPath: paths.consoleSocket,
      memoryBytes: spec.memoryBytes,
      vcpus: spec.vcpus,
      nics,
      adopted: false,
      createdAt: Date.now(),
      arrivedFrom: null,
    };
    regions.adopt(record, mapped);
    return { record, spec, notes: [], ended: null };
  } catch (error) {
    await diskServer?.end();
    rmSync(paths.directory, { recursive: true, force: true });
    throw error;
  }
}

/** The block server, for a VM that has disks which go through it. @throws GW_DISK_UNUSABLE, GW_DISK_SERVER */
async function serveDisks({ disks }: VmSpec, { directory }: VmPaths): Promise<VmDiskServer | undefined> {
  const served = disks.flatMap(({ path, through, readonly = false }, index): ServedDiskFacts[] =>
    through === 'block-server' ? [{ name: diskName(index), path, isReadOnly: readonly }] : [],
  );
  // One that looks like qcow2 is a mistake here; later it is what the guest has written.
  return served.length === 0 ? undefined : await VmDiskServer.start(directory, served, { isRaw: false });
}

/**
 * Plugs QEMU into the network. Returns what it shares, the regions of its own arguments included. Throws, QEMU ended, when
 * a region is not what it has, or a bridge has gone.
 */
async function settle(
  { identity, qmp }: StartedQemu,
  args: readonly string[],
  claim: RegionClaim,
  nics: readonly AttachedNic[],
): Promise<SharedRegion[]> {
  try {
    await plugInTaps(nics);
    claim.confirm(identity);
    if (findSharedIds(parseArguments(args)).size === 0) return [];
    return sharedRegions((await inspectRam(qmp, identity.pid)).shared);
  } catch (error) {
    await killQemu(identity);
    throw error;
  } finally {
    qmp.close();
  }
}

function toSpec(body: VmSpecBody, nics: VmSpec['nics']): VmSpec {
  const { memory, boot, firmware, disks, sharedMemory, ...rest } = body;
  return {
    ...rest,
    memoryBytes: memory,
    nics,
    disks: disks.map((disk) => dropUndefined(completeDisk(disk))),
    sharedMemory: sharedMemory.map(({ name, size }) => ({ name, sizeBytes: size })),
    ...(boot === undefined ? {} : { boot: dropUndefined(boot) }),
    ...(firmware === undefined ? {} : { firmware }),
  } as VmSpec;
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

/** The name is part of the paths of sockets, which the kernel bounds. The console's is the longest of them. */
function checkName(name: string, paths: VmPaths): void {
  const excessBytes = Buffer.byteLength(paths.consoleSocket) - MAX_SOCKET_PATH_BYTES;
  if (excessBytes <= 0) return;
  const longest = name.length - excessBytes;
  const shorter = longest > 0 ? `give at most ${longest} characters, or ` : '';
  const fix = `${shorter}start the host daemon with a shorter --state, which is part of the paths of the VM's sockets`;
  throw new GodwitError('GW_INPUT_INVALID', { field: 'name', value: name, fix });
}

async function checkNetwork(nics: readonly AttachedNic[]): Promise<void> {
  const [first] = await findNetworkBlockers(nics);
  if (!first) return;
  throw new GodwitError('GW_INPUT_INVALID', { field: 'nics', value: first.what, fix: `${first.reason}; ${first.fix}` });
}

function checkFiles(spec: VmSpec): void {
  const files: [string, string | undefined][] = [
    ['boot.kernel', spec.boot?.kernel],
    ['boot.initrd', spec.boot?.initrd],
    ['firmware', spec.firmware],
    ...spec.disks.map((disk, index): [string, string] => [`disks[${index}].path`, disk.path]),
  ];
  const fix = 'give a file that the host daemon can read';
  const problems = files.flatMap(([field, path]) =>
    path === undefined || isReadable(path) ? [] : [{ field, value: path, fix }],
  );
  if (problems[0]) throw new GodwitError('GW_INPUT_INVALID', { ...problems[0], problems });
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

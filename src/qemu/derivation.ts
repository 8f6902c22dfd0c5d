/**
 * What the rules of derive.ts share while they go through one command line.
 *
 * Owns: the blockers, notes and RAM files that were found so far, which chardev is the console, and what is shared memory.
 */
import { dirname, join, resolve } from 'node:path';
import type { Blocker } from './blocker.ts';
import type { Endpoints } from './command-line.ts';
import { MAX_SOCKET_PATH_BYTES } from './socket-path.ts';
import type { Accelerator } from './spec.ts';

export interface DeriveOptions {
  /** The versioned type that the source runs, from `inspectVm`. */
  readonly machineType: string;
  /** What the source runs on; pins lists such as `accel=kvm:tcg`. */
  readonly accel: Accelerator;
  readonly endpoints: Endpoints;
  /** The source QEMU's working directory (/proc/PID/cwd); needed when its command line has relative paths. */
  readonly sourceDirectory?: string;
  /** Images that are elsewhere at the destination, by their absolute paths at the source. */
  readonly movedImages?: ReadonlyMap<string, string>;
  /** NBD socket of the VM's block server at the source; QEMU gets `endpoints.nbdSocketPath` instead. */
  readonly sourceNbdSocket?: string;
  /** Absolute paths of the programs that a network interface may have as its script here. */
  readonly allowedNetworkScripts?: readonly string[];
  /** Memory that the VM keeps, by the ids of its backends: paths that open the files that it has (a new QEMU on the same host). */
  readonly keptRam?: ReadonlyMap<string, string>;
  /**
   * Of a new QEMU on the same host: the directory that goes with the old one, or null; absent on another host. The VM goes on
   * with the files that it writes to, those in there under a second name.
   */
  readonly goingDirectory?: string | null;
}

export interface RamFile {
  /** Id of the memory backend. */
  readonly id: string;
  readonly path: string;
}

/** A file that gets a second name. */
export interface LinkedFile {
  readonly from: string;
  readonly to: string;
}

export class Derivation {
  readonly options: DeriveOptions;
  readonly blockers: Blocker[] = [];
  readonly notes: string[] = [];
  readonly ramFiles: RamFile[] = [];
  /** RAM that stays where it is. */
  readonly keptFiles: RamFile[] = [];
  /** Files that the VM goes on writing to. */
  readonly linkedFiles: LinkedFile[] = [];
  /** Files of regions, which are there before QEMU and stay. */
  readonly sharedFiles: RamFile[] = [];
  /** Id of the chardev that becomes the console, or undefined when the first serial port has none of its own. */
  readonly consoleId: string | undefined;
  /** Chardevs that only monitors use: godwit brings its own monitor. */
  readonly monitorIds: ReadonlySet<string>;
  /** Ids of memory backends that the VM shares with other VMs. */
  readonly sharedIds: ReadonlySet<string>;
  hasConsole = false;

  constructor(
    options: DeriveOptions,
    consoleId: string | undefined,
    monitorIds: ReadonlySet<string>,
    sharedIds: ReadonlySet<string>,
  ) {
    this.options = options;
    this.sharedIds = sharedIds;
    this.consoleId = consoleId;
    this.monitorIds = monitorIds;
  }

  block(id: string, what: string, reason: string, fix: string): void {
    this.blockers.push({ id, what, reason, fix });
  }

  note(text: string): void {
    this.notes.push(text);
  }

  /** A file of the destination's own, beside its QMP socket. */
  file(name: string): string {
    return join(dirname(this.options.endpoints.qmpPath), name.replaceAll(/[^\w.-]/g, '_'));
  }

  /** For people: where it is what it is now. */
  get here(): string {
    return this.options.goingDirectory === undefined ? 'at the destination' : 'now';
  }

  /** For people: as it is where the VM comes from. */
  get before(): string {
    return this.options.goingDirectory === undefined ? 'as at the source' : 'as before';
  }

  /**
   * A file that the VM writes to.
   *
   * @param path - the one that it has
   * @returns `isKept`: what is in it stays, so QEMU must not begin it anew
   */
  output(name: string, path: string): { readonly path: string; readonly isKept: boolean } {
    const own = this.file(name);
    const { goingDirectory } = this.options;
    if (goingDirectory === undefined) return { path: own, isKept: false };
    const from = resolve(this.options.sourceDirectory ?? '/', path);
    if (dirname(from) !== goingDirectory) return { path: from, isKept: true };
    this.linkedFiles.push({ from, to: own });
    return { path: own, isKept: true };
  }

  /** A socket of the destination's own, beside its QMP socket. */
  socket(name: string): string {
    const path = this.file(`${name}.sock`);
    this.checkSocket(path);
    return path;
  }

  /** Blocks, once, when the kernel would not take the path as the address of a unix socket. */
  checkSocket(path: string): void {
    const bytes = Buffer.byteLength(path);
    if (bytes <= MAX_SOCKET_PATH_BYTES || this.blockers.some(({ what }) => what === path)) return;
    const reason = `the path of this socket has ${bytes} bytes, and the longest allowed has ${MAX_SOCKET_PATH_BYTES}`;
    this.block(
      'socket-path',
      path,
      reason,
      'start the host daemon of the destination with a shorter --state directory',
    );
  }

  /** The file of the region here; undefined when the VM comes without its group. */
  sharedFile(id: string): string | undefined {
    const path = this.options.endpoints.sharedPaths?.get(id);
    if (path !== undefined) this.sharedFiles.push({ id, path });
    return path;
  }

  /** The first RAM file has the path that was given, further ones have the backend's id added. */
  ramFile(id: string): string {
    const kept = this.options.keptRam?.get(id);
    if (kept !== undefined) {
      this.keptFiles.push({ id, path: kept });
      return kept;
    }
    const { ramPath } = this.options.endpoints;
    const path = this.ramFiles.length === 0 ? ramPath : `${ramPath}-${id.replaceAll(/[^\w.-]/g, '_')}`;
    this.ramFiles.push({ id, path });
    return path;
  }
}

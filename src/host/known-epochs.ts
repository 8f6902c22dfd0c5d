/**
 * The epoch at which this host last knew each VM that has come or gone, also when the VM is long gone:
 * `epochs/UUID.json` below the state directory.
 *
 * Must hold: what is known never goes back. An offer that is not newer is of a VM that this host, or one that had it from
 * here, has owned since: an old copy of a state directory or a QEMU that was given away would bring it back as it was.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { explain } from '../base/errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import type { Logger } from './logger.ts';

interface Known {
  readonly epoch: number;
  /** Tells a VM that was started and adopted anew, whose epochs begin anew, from the one before with the same UUID. */
  readonly createdAt: number;
}

/** As an offer tells it. */
export interface OfferedEpoch {
  readonly uuid: string;
  readonly epoch: number;
  /** Unix milliseconds; absent when the other host does not tell. */
  readonly createdAt?: number;
}

/** A block on the disk for each; a host that sees more VMs come and go forgets the ones of long ago. */
const MAX_KNOWN = 10_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class KnownEpochs {
  readonly #directory: string;
  readonly #log: Logger;

  constructor(stateDirectory: string, log: Logger) {
    this.#directory = join(stateDirectory, 'epochs');
    this.#log = log;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#prune();
  }

  /** The VM has this epoch now, here or at another host. */
  note({ uuid, createdAt }: { readonly uuid: string; readonly createdAt: number }, epoch: number): void {
    try {
      const path = this.#pathOf(uuid);
      const known = path === undefined ? undefined : readKnown(path);
      if (path === undefined || (known && !isNewer({ epoch, createdAt }, known))) return;
      writeFileAtomically(path, `${JSON.stringify({ epoch, createdAt })}\n`);
    } catch (error) {
      // Where the VM is does not depend on it.
      this.#log.error({ uuid, epoch, reason: explain(error) }, 'cannot note the epoch of a VM');
    }
  }

  /** Why what is offered is outdated, if so. */
  refusalFor({ uuid, epoch, createdAt }: OfferedEpoch): string | undefined {
    const path = this.#pathOf(uuid);
    const known = path === undefined ? undefined : readKnown(path);
    if (!known || isNewer({ epoch, createdAt: createdAt ?? known.createdAt }, known)) return undefined;
    return (
      `what is offered is an outdated copy: with it the VM would have epoch ${epoch}, and epoch ${known.epoch} is known ` +
      `here (epochs/${uuid}.json in the state directory)`
    );
  }

  #pathOf(uuid: string): string | undefined {
    return UUID.test(uuid) ? join(this.#directory, `${uuid}.json`) : undefined;
  }

  #prune(): void {
    const paths = readdirSync(this.#directory).map((name) => join(this.#directory, name));
    if (paths.length <= MAX_KNOWN) return;
    const aged = paths.map((path) => ({ path, atMs: statSync(path).mtimeMs })).sort((a, b) => b.atMs - a.atMs);
    for (const { path } of aged.slice(MAX_KNOWN)) rmSync(path, { force: true });
  }
}

/** Of a VM that was created later every epoch is newer. */
function isNewer(a: Known, b: Known): boolean {
  return a.createdAt === b.createdAt ? a.epoch > b.epoch : a.createdAt > b.createdAt;
}

function readKnown(path: string): Known | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Known;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

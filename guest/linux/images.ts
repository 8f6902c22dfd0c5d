/**
 * The sample guest's images and its kernel command line, for tests, the demo and the bench.
 *
 * Must hold: the options are those of workload/options.h; README.md explains each.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface LinuxGuestImages {
  readonly kernel: string;
  readonly initrd: string;
}

/** Pages a second, or as fast as it goes. */
export type WorkloadRate = number | 'max';

/** What is left out has the value of the demo's light load. */
export interface WorkloadOptions {
  /** All of the workload's memory. */
  readonly fillMiB?: number;
  /** The part of it that is rewritten. */
  readonly workingSetMiB?: number;
  readonly rate?: WorkloadRate;
  /** `words`: a few bytes of each page; `page`: new content for the whole page; `rewrite`: all of it, content unchanged. */
  readonly mode?: 'words' | 'page' | 'rewrite';
  readonly order?: 'sequential' | 'random';
  /** Verification in the background; `off`: only on the console command `check`. */
  readonly check?: WorkloadRate | 'off';
  readonly threads?: number;
  readonly compressiblePercent?: number;
  readonly seed?: number;
}

/** Throws when scripts/setup has not built them. */
export function linuxGuestImages(): LinuxGuestImages {
  const directory = fileURLToPath(new URL('../../.cache/guest/', import.meta.url));
  const images = { kernel: `${directory}vmlinuz`, initrd: `${directory}initrd.img` };
  if (!existsSync(images.kernel) || !existsSync(images.initrd)) {
    throw new Error(`There is no sample guest in ${directory}: run scripts/setup`);
  }
  return images;
}

/** The kernel command line that makes the guest do this; `extra` is added to it, for example `godwit.net=10.9.0.2/24`. */
export function linuxGuestCommandLine(workload: WorkloadOptions = {}, extra: readonly string[] = []): string {
  const options = [
    ['fill', inMebibytes(workload.fillMiB)],
    ['ws', inMebibytes(workload.workingSetMiB)],
    ['rate', workload.rate],
    ['mode', workload.mode],
    ['order', workload.order],
    ['check', workload.check],
    ['threads', workload.threads],
    ['compressible', workload.compressiblePercent],
    ['seed', workload.seed],
  ].filter(([, value]) => value !== undefined);
  const words = ['console=ttyS0', 'quiet', ...extra];
  if (options.length > 0) words.push(`godwit.workload=${options.map(([name, value]) => `${name}:${value}`).join(',')}`);
  return words.join(' ');
}

function inMebibytes(count: number | undefined): string | undefined {
  return count === undefined ? undefined : `${count}M`;
}

/**
 * Another QEMU at the destination than the one that a VM has: the real one, with arguments added or commands before it.
 *
 * Must hold: the VM's own QEMU has a name that no host takes from another, so that a host with `host`'s environment takes
 * the one of its PATH.
 */
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { findBinary } from '../../src/qemu/process.ts';
import { TEST_QEMU } from './capability.ts';
import { TempDirectory } from './temp-directory.ts';

interface OtherQemuOptions {
  /** Added to every command line. */
  readonly args?: string;
  /** What a shell does before a QEMU that waits for a VM starts. */
  readonly arriving?: string;
  /** What it says to `-machine help`, as `printf` takes it. */
  readonly machines?: string;
}

export class OtherQemu implements Disposable {
  readonly #tools = new TempDirectory();
  /** For the VM at its source. */
  readonly qemu: string = this.#tools.join('my-qemu');
  /** Of this one. */
  readonly path: string = this.#tools.join('qemu-system-x86_64');

  constructor({ args = '', arriving = ':', machines }: OtherQemuOptions) {
    symlinkSync(findBinary(TEST_QEMU), this.qemu);
    const tellsMachines = machines === undefined ? '' : `'-machine help') printf '${machines}'; exit;; `;
    const script = `#!/bin/sh\ncase "$*" in ${tellsMachines}*-incoming*) ${arriving};; esac\nexec ${this.qemu} "$@" ${args}\n`;
    writeFileSync(this.path, script, { mode: 0o755 });
  }

  /** For the destination. */
  get host(): { env: Record<string, string> } {
    return { env: { PATH: `${this.#tools.path}:${process.env['PATH']}` } };
  }

  [Symbol.dispose](): void {
    this.#tools[Symbol.dispose]();
  }
}

/** Where bench/fetch-qemu10 unpacks it, unless GODWIT_BENCH_QEMU names another. */
const QEMU_10 = process.env['GODWIT_BENCH_QEMU'] ?? '/opt/qemu10/usr/bin/qemu-system-x86_64';

/** The QEMU of tests, and a newer one where this machine has it: for what depends on the version. */
export function qemuVersions(): string[] {
  return existsSync(QEMU_10) && QEMU_10 !== TEST_QEMU ? [TEST_QEMU, QEMU_10] : [TEST_QEMU];
}

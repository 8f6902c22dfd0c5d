/**
 * The QEMU of the bench: the real binary, with a trace of the run state added to whatever arguments it is given.
 *
 * A wrapper and not an argument, because a destination's command line is derived from the source's and leaves traces
 * out, and because every system must be watched by the same means.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findBinary } from '../src/qemu/process.ts';
import { run } from './command.ts';

export interface BenchQemu {
  readonly wrapper: string;
  readonly binary: string;
  /** As QEMU prints it, such as `10.0.2`. */
  readonly version: string;
}

/** It keeps its own name as QEMU's: godwit starts a destination by the name that the source was started by. */
const wrapperScript = (binary: string): string =>
  `#!/bin/bash\nexec -a "$0" '${binary}' "$@" -trace runstate_set -msg timestamp=on\n`;

export async function wrapQemu(directory: string): Promise<BenchQemu> {
  const binary = findBinary(process.env['GODWIT_BENCH_QEMU'] ?? 'qemu-system-x86_64');
  const version = /version (\S+)/.exec(await run(binary, '--version'))?.[1] ?? 'unknown';
  const wrapper = join(directory, 'qemu');
  writeFileSync(wrapper, wrapperScript(binary));
  chmodSync(wrapper, 0o755);
  return { wrapper, binary, version };
}

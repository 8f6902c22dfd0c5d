/**
 * What a QEMU binary can do, asked of the binary itself.
 *
 * Must hold: the answer is kept as long as the file stays the same (three short runs cost about 0.2 s).
 */
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { GodwitError } from '../base/errors.ts';
import { inOneLine } from './log-tail.ts';
import { findBinary } from './process.ts';

export interface QemuBinary {
  readonly path: string;
  /** Such as `7.2.22`. */
  readonly version: string;
  /** Machine types, aliases such as `q35` included. */
  readonly machines: readonly string[];
  readonly accels: readonly string[];
}

const RUN_TIMEOUT_MS = 20_000;
const run = promisify(execFile);
const known = new Map<string, Promise<QemuBinary>>();

/** Throws GW_QEMU_START when there is no such binary or it does not answer. */
export function probeQemuBinary(name: string): Promise<QemuBinary> {
  const path = findBinary(name);
  const { ino, mtimeMs } = statSync(path);
  const key = `${path}:${ino}:${mtimeMs}`;
  const answer = known.get(key) ?? probe(path);
  known.set(key, answer);
  answer.catch(() => known.delete(key));
  return answer;
}

async function probe(path: string): Promise<QemuBinary> {
  const [version, machines, accels] = await Promise.all([
    ask(path, ['-version']),
    ask(path, ['-machine', 'help']),
    ask(path, ['-accel', 'help']),
  ]);
  const number = /version (\d+\.\d+\.\d+)/.exec(version)?.[1];
  if (number === undefined) {
    throw new GodwitError('GW_QEMU_START', { reason: `${path} does not say which QEMU it is: ${inOneLine(version)}` });
  }
  return { path, version: number, machines: firstWords(machines), accels: firstWords(accels) };
}

async function ask(path: string, args: string[]): Promise<string> {
  try {
    return (await run(path, args, { timeout: RUN_TIMEOUT_MS })).stdout;
  } catch (cause) {
    const { stderr = '' } = cause as { stderr?: string };
    const reason = `${path} ${args.join(' ')} failed: ${inOneLine(stderr) || 'it cannot be run'}`;
    throw new GodwitError('GW_QEMU_START', { reason }, { cause });
  }
}

/** After the heading line, one item a line, its name first. */
function firstWords(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .filter((word) => word !== '');
}

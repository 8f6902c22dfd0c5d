/**
 * godwit's block server beside qemu-nbd: the same file, the same client (fio, nbdcopy), in turns.
 *
 * Must hold: the file is in the page cache for both, so that it is the servers that are compared and not the storage; one
 * server at a time has it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from '../src/base/statistics.ts';
import { run } from './command.ts';
import { type BenchOptions, isWanted } from './options.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';
import { alignColumns } from './table.ts';

export interface NbdCase {
  readonly name: string;
  /** What it is measured in. */
  readonly number: 'megabytesPerSecond' | 'operationsPerSecond';
  /** Of fio; null: nbdcopy reads everything. */
  readonly job: readonly string[] | null;
  /** Of qemu-nbd, which godwit has to reach. */
  readonly goal: number;
}

const LARGE = ['--bs=1m', '--iodepth=16'];
const SMALL = ['--bs=4k', '--iodepth=32'];
export const NBD_CASES: readonly NbdCase[] = [
  { name: 'nbd/read', number: 'megabytesPerSecond', job: ['--rw=read', ...LARGE], goal: 0.8 },
  { name: 'nbd/write', number: 'megabytesPerSecond', job: ['--rw=write', ...LARGE], goal: 0.6 },
  { name: 'nbd/random-read', number: 'operationsPerSecond', job: ['--rw=randread', ...SMALL], goal: 1 },
  { name: 'nbd/random-write', number: 'operationsPerSecond', job: ['--rw=randwrite', ...SMALL], goal: 0.6 },
  { name: 'nbd/copy', number: 'megabytesPerSecond', job: null, goal: 0.8 },
];

const SERVERS = ['godwit', 'qemu-nbd'] as const;
type Server = (typeof SERVERS)[number];

const FILE_BYTES = 2 ** 30;
const PIECE_BYTES = 2 ** 24;
const JOB_SECONDS = 5;
/** The first second is of what is not warm yet. */
const RAMP_SECONDS = 1;
const START_TIMEOUT_MS = 60_000;
const START_POLL_MS = 20;
const GODWIT = fileURLToPath(new URL('../bin/godwit', import.meta.url));

export async function measureNbd(
  bench: Bench,
  options: BenchOptions,
  results: Results,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const { runs } = options;
  const cases = NBD_CASES.filter(({ name }) => isWanted(name, options));
  if (cases.length === 0) return;
  const image = join(bench.directory, 'nbd.img');
  makeImage(image);
  try {
    for (let round = 0; round < runs; round++) {
      for (const candidate of cases) {
        for (const server of round % 2 === 0 ? SERVERS : SERVERS.toReversed()) {
          if (stop.aborted) return;
          const name = `${candidate.name}/${server}`;
          tell(`${name}, run ${round + 1} of ${runs}`);
          results.add(`${name}/${candidate.number}`, await measureServer(server, image, bench.directory, candidate));
        }
      }
    }
  } finally {
    rmSync(image);
  }
}

/** Empty when none was measured. */
export function renderNbd(results: Results): string[] {
  const rows = NBD_CASES.flatMap(({ name, number, goal }) => {
    const [ours, theirs] = SERVERS.map((server) => median(results.samples(`${name}/${server}/${number}`)));
    if (!ours || !theirs) return [];
    const isMet = ours / theirs >= goal ? 'met' : 'missed';
    return [
      [
        `${name}, ${number === 'megabytesPerSecond' ? 'MB/s' : 'operations/s'}`,
        ours.toFixed(0),
        theirs.toFixed(0),
        (ours / theirs).toFixed(2),
        `${isMet} (${goal})`,
      ],
    ];
  });
  if (rows.length === 0) return [];
  return [`\n${alignColumns([['block server', ...SERVERS, 'godwit ÷ qemu-nbd', 'goal'], ...rows])}`];
}

/** Data, and no holes. */
function makeImage(path: string): void {
  const piece = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
  const fd = openSync(path, 'w');
  for (let at = 0; at < FILE_BYTES; at += PIECE_BYTES) writeSync(fd, piece, 0, PIECE_BYTES, at);
  closeSync(fd);
}

async function measureServer(server: Server, image: string, directory: string, { job }: NbdCase): Promise<number> {
  const socket = join(directory, 'nbd.sock');
  const uri = `nbd+unix:///?socket=${socket}`;
  const child = start(server, image, socket);
  try {
    await answers(child, socket);
    return job === null ? await copy(uri) : await runJob(uri, job);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    rmSync(socket, { force: true });
  }
}

function start(server: Server, image: string, socket: string): ChildProcess {
  // Both through the page cache; as many clients as there are.
  const words =
    server === 'godwit'
      ? [GODWIT, 'disk', 'serve', image, '--socket', socket]
      : ['qemu-nbd', '--format=raw', '--persistent', '--shared=16', '--cache=writeback', `--socket=${socket}`, image];
  return spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function answers(child: ChildProcess, socket: string): Promise<void> {
  const untilMs = performance.now() + START_TIMEOUT_MS;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > untilMs) throw new Error(`no server listens at ${socket}`);
    await delay(START_POLL_MS);
  }
}

/** Megabytes or operations a second, whatever the job is about. */
async function runJob(uri: string, job: readonly string[]): Promise<number> {
  const time = [`--runtime=${JOB_SECONDS}`, `--ramp_time=${RAMP_SECONDS}`, '--time_based'];
  const words = ['--name=bench', '--ioengine=nbd', `--uri=${uri}`, `--size=${FILE_BYTES}`, ...time, ...job];
  const text = await run('fio', '--output-format=json', ...words);
  // Before it the engine says that it is connected.
  const told = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: [Record<'read' | 'write', { readonly bw_bytes: number; readonly iops: number }>];
  };
  const { read, write } = told.jobs[0];
  const done = read.iops > 0 ? read : write;
  return job.includes('--bs=4k') ? done.iops : done.bw_bytes / 1e6;
}

async function copy(uri: string): Promise<number> {
  const fromMs = performance.now();
  await run('nbdcopy', uri, 'null:');
  return FILE_BYTES / 1e3 / (performance.now() - fromMs);
}

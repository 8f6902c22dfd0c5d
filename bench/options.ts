/** The bench's command line. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** How often each system runs in each scenario. */
  readonly runs: number;
  /** Parts of names; empty: everything. See `isWanted`. */
  readonly only: readonly string[];
  /** Every event of every run on stderr. */
  readonly verbose: boolean;
  /** Leave the files of the runs (logs, consoles) where they are. */
  readonly keep: boolean;
  readonly list: boolean;
}

export const USAGE = `usage: npm run bench -- [--runs N] [--quick] [--only NAME …] [--list] [--verbose] [--keep]

  --runs N      runs of each system in each scenario, interleaved (default 5)
  --quick       one run of each
  --only NAME…  only what has one of these texts in its name, such as data@1gbit or godwit-post-copy
  --list        print the names and end
  --verbose     tell on stderr what happens
  --keep        keep logs and consoles of the runs

GODWIT_BENCH_QEMU=PATH takes another QEMU binary (see bench/fetch-qemu10).`;

const DEFAULT_RUNS = 5;

/** Throws an Error whose message says what is wrong. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > 0 && values.only.length === 0) throw new Error(`unknown argument ${positionals[0]}`);
  const runs = values.runs === undefined ? (values.quick ? 1 : DEFAULT_RUNS) : Number(values.runs);
  if (!Number.isSafeInteger(runs) || runs < 1) throw new Error('--runs takes a whole number from 1');
  const { verbose, keep, list } = values;
  return { runs, only: [...values.only, ...positionals], verbose, keep, list };
}

/** Whether a name such as `data@1gbit/godwit-post-copy` was asked for. */
export function isWanted(name: string, options: Pick<BenchOptions, 'only'>): boolean {
  return options.only.length === 0 || options.only.some((part) => name.includes(part));
}

/** Runs the command line inside this process (quick, and able to press Ctrl-C), with everything that it prints kept. */
import type { Io } from '../../src/cli/io.ts';
import { main } from '../../src/cli/main.ts';

export interface CliRun {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export interface RunningCli {
  readonly finished: Promise<CliRun>;
  /** What has been printed to stderr so far. */
  err(): string;
  /** Ctrl-C. */
  interrupt(): void;
}

export function startCli(
  args: readonly string[],
  options: { environment?: Record<string, string | undefined>; terminal?: boolean } = {},
): RunningCli {
  let out = '';
  let err = '';
  const interrupts = new Set<() => void>();
  const io: Io = {
    environment: options.environment ?? {},
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    outIsTerminal: false,
    errIsTerminal: options.terminal === true,
    columns: () => 100,
    onInterrupt: (listener) => {
      interrupts.add(listener);
      return () => interrupts.delete(listener);
    },
  };
  return {
    finished: main(args, io).then((status) => ({ status, out, err })),
    err: () => err,
    interrupt: () => {
      for (const listener of interrupts) listener();
    },
  };
}

/**
 * What a command sees of the world: where it prints, what its surroundings are.
 *
 * Must hold: with `--json` exactly one JSON document goes to stdout; everything that is not the result goes to stderr.
 */
import { type ErrorBody, fixOf } from '../base/errors.ts';

export interface Io {
  readonly environment: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  /** Width of the terminal behind stderr. */
  columns(): number;
  /** Calls back at every Ctrl-C (SIGINT) or SIGTERM; returns how to stop that. */
  onInterrupt(listener: () => void): () => void;
}

export interface Output {
  readonly json: boolean;
  readonly io: Io;
}

/** The one result of a command. */
export function printResult(output: Output, result: unknown, human: () => string): void {
  output.io.out(output.json ? `${JSON.stringify(result, null, 2)}\n` : ensureNewline(human()));
}

export function printError(output: Output, error: ErrorBody): void {
  if (output.json) output.io.out(`${JSON.stringify({ error }, null, 2)}\n`);
  output.io.err(humanError(error));
}

function humanError(error: ErrorBody): string {
  const problems = error.details['problems'];
  if (!Array.isArray(problems) || problems.length < 2) {
    const fix = fixOf(error);
    return `godwit: ${error.message} [${error.code}]\n${fix === undefined ? '' : `  fix: ${fix}\n`}`;
  }
  const lines = (problems as { field: string; value: string | null; fix: string }[]).map(
    ({ field, value, fix }) => `  ${field}${value === null ? ' is missing' : `: ${value} is not valid`}: ${fix}`,
  );
  return `godwit: ${lines.length} problems [${error.code}]\n${lines.join('\n')}\n`;
}

function ensureNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

export const PROCESS_IO: Io = {
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  outIsTerminal: process.stdout.isTTY === true,
  errIsTerminal: process.stderr.isTTY === true,
  // A pseudo-terminal that nobody has sized says 0.
  columns: () => process.stderr.columns || 80,
  onInterrupt: (listener) => {
    process.on('SIGINT', listener);
    process.on('SIGTERM', listener);
    return () => {
      process.off('SIGINT', listener);
      process.off('SIGTERM', listener);
    };
  },
};

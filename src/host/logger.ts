/**
 * The daemon's log, on stderr: JSON lines for a machine, short lines for a terminal.
 */
import { Writable } from 'node:stream';
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

export function openLogger(options: { level: string; format: 'pretty' | 'json'; name: string }): Logger {
  const base = { level: options.level, base: { host: options.name } };
  if (options.format === 'json') return pino(base, pino.destination({ fd: 2, sync: true }));
  const pretty = new Writable({
    write(chunk: Buffer, _encoding, done) {
      process.stderr.write(`${prettyLine(chunk.toString())}\n`);
      done();
    },
  });
  return pino(base, pretty);
}

/** One JSON log line as `12:34:56.789 warn  text key=value`. */
export function prettyLine(line: string): string {
  const { level, time, msg, host: _host, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(time as number).toISOString().slice(11, 23);
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const stack = err === undefined ? '' : `\n  ${String((err as { stack?: string }).stack ?? JSON.stringify(err))}`;
  return [clock, (LEVELS[level as number] ?? String(level)).padEnd(5), msg, ...fields].join(' ') + stack;
}

/**
 * The request body that options make, checked before the host is asked.
 *
 * Must hold: what is wrong is told by the name of the option, not by that of the body's field.
 */
import type { z } from 'zod';
import { type InputProblem, parseInput } from '../api/input-error.ts';
import { GodwitError, type JsonValue } from '../base/errors.ts';

const OPTIONS: Readonly<Record<string, string>> = {
  to: '--to',
  mode: '--mode',
  maxDowntimeMs: '--max-downtime',
  bandwidthBytesPerSecond: '--bandwidth',
  timeoutMs: '--timeout',
  onTimeout: '--on-timeout',
  finishByMs: '--finish-by',
  'throttle.minRatio': '--throttle-ratio',
  'throttle.minPagesPerSecond': '--throttle-min-rate',
  'throttle.historyPagesPerSecond': '--throttle-history-rate',
  'throttle.maxPercent': '--throttle-max',
  connections: '--connections',
  without: '--without',
  tracker: '--tracker',
  disks: '--disks',
  diskPaths: '--disk',
  sourceDisks: '--source-disks',
  order: '--order',
  first: '--first',
};

/** @throws GW_INPUT_INVALID, GW_INPUT_MISSING */
export function parseFlags<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  try {
    return parseInput(schema, body);
  } catch (error) {
    if (!(error instanceof GodwitError)) throw error;
    const named = (problem: InputProblem): InputProblem => ({
      ...problem,
      field: OPTIONS[problem.field.replace(/\[\d+\]$/, '')] ?? problem.field,
    });
    const problems = (error.details['problems'] as unknown as readonly InputProblem[]).map(named);
    const first = named(error.details as unknown as InputProblem);
    throw new GodwitError(error.code, { ...first, problems: problems as unknown as JsonValue });
  }
}

/**
 * What a schema found wrong, as one error that names every field, its value and the fix.
 *
 * Must hold: it is GW_INPUT_INVALID, or GW_INPUT_MISSING when nothing is wrong but that fields are not there.
 */
import type { z } from 'zod';
import { GodwitError, type JsonValue } from '../base/errors.ts';

/** One thing wrong with the input. */
export interface InputProblem {
  readonly field: string;
  /** null: it is not there. */
  readonly value: string | null;
  readonly fix: string;
}

/** Parses, or throws an `inputError`; `details.problems` lists all that is wrong, not only the first. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown, root = ''): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw inputError(result.error, input, root);
}

/** @param root - what stands before each path, such as `spec` or `body` */
export function inputError(error: z.ZodError, input: unknown, root = ''): GodwitError {
  const problems = error.issues.flatMap((issue) => problemsOf(issue, input, root));
  const all = { problems: problems as unknown as JsonValue };
  const invalid = problems.find(({ value }) => value !== null);
  if (invalid === undefined && problems[0]) return new GodwitError('GW_INPUT_MISSING', { ...problems[0], ...all });
  const first = invalid ?? { field: root, value: shown(input), fix: 'give a valid document' };
  return new GodwitError('GW_INPUT_INVALID', { ...first, ...all });
}

function problemsOf(issue: z.core.$ZodIssue, input: unknown, root: string): InputProblem[] {
  const path = issue.path as readonly (string | number)[];
  const at = lookUp(input, path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      field: fieldName(root, [...path, key]),
      value: shown(lookUp(at, [key])),
      fix: issue.message,
    }));
  }
  return [{ field: fieldName(root, path), value: shown(at), fix: issue.message }];
}

function lookUp(input: unknown, path: readonly (string | number)[]): unknown {
  let at = input;
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

function fieldName(root: string, path: readonly (string | number)[]): string {
  let name = root;
  for (const key of path) name += typeof key === 'number' ? `[${key}]` : name === '' ? key : `.${key}`;
  return name === '' ? 'document' : name;
}

function shown(value: unknown): string | null {
  if (value === undefined) return null;
  const printed = JSON.stringify(value) ?? String(value);
  return printed.length > 80 ? `${printed.slice(0, 77)}...` : printed;
}

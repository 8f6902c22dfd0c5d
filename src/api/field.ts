/**
 * Building blocks of every schema that a person may get wrong: config file, VM spec, request bodies.
 *
 * Owns: how a refusal is worded. Must hold: the message of every zod issue is the fix ("give …"), so that
 * `input-error.ts` can say field, value and fix without a table of its own.
 */
import { z } from 'zod';
import { GodwitError } from '../base/errors.ts';
import { parseSize } from '../base/units.ts';

/** An object that takes no other keys than these. */
export function strictObject<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const keys = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `remove it, or use one of ${keys}` : `give an object with ${keys}`,
  }) as z.ZodObject<Shape, z.core.$strict>;
}

export function text(fix: string): z.ZodString {
  return z.string({ error: fix }).min(1, { error: fix });
}

export function integer(min: number, max: number, fix: string): z.ZodNumber {
  return z.number({ error: fix }).int({ error: fix }).min(min, { error: fix }).max(max, { error: fix });
}

export function number(min: number, max: number, fix: string): z.ZodNumber {
  return z.number({ error: fix }).min(min, { error: fix }).max(max, { error: fix });
}

export function flag(fix = 'give true or false'): z.ZodBoolean {
  return z.boolean({ error: fix });
}

export function choice<const Values extends readonly [string, ...string[]]>(
  values: Values,
): z.ZodEnum<{ [V in Values[number]]: V }> {
  return z.enum(values, { error: `give one of ${values.join(', ')}` }) as z.ZodEnum<{ [V in Values[number]]: V }>;
}

export function list<Item extends z.ZodType>(item: Item, fix: string): z.ZodArray<Item> {
  return z.array(item, { error: fix }).max(256, { error: 'give at most 256' });
}

/** A number of bytes, or a text such as `512MiB`; the outcome is a number of bytes. */
export function size(
  min: number,
  max: number,
  multiple: number,
  fix: string,
): z.ZodPipe<z.ZodUnion<readonly [z.ZodNumber, z.ZodString]>, z.ZodTransform<number, string | number>> {
  return z.union([z.number(), z.string()], { error: fix }).transform((value, context) => {
    const bytes = typeof value === 'number' ? value : sizeOrNaN(value);
    if (!Number.isSafeInteger(bytes) || bytes < min || bytes > max || bytes % multiple !== 0) {
      context.issues.push({ code: 'custom', input: value, message: fix });
      return z.NEVER;
    }
    return bytes;
  });
}

/** What a text stands for, by a parser that throws GW_INPUT_INVALID. */
export function meaning<Input extends z.ZodType<string | number>, Output>(
  input: Input,
  fix: string,
  parse: (text: string) => Output,
): z.ZodPipe<Input, z.ZodTransform<Output, string | number>> {
  return input.transform((value, context) => {
    try {
      return parse(String(value));
    } catch (error) {
      if (!(error instanceof GodwitError)) throw error;
      context.issues.push({ code: 'custom', input: value, message: fix });
      return z.NEVER;
    }
  });
}

function sizeOrNaN(value: string): number {
  try {
    return parseSize(value, 'size');
  } catch (error) {
    if (error instanceof GodwitError) return Number.NaN;
    throw error;
  }
}

/** An option that may be given again: all of its values, in order. */
export function collectFlag(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

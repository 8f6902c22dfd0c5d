/**
 * A reason why a VM cannot be migrated, and what would cure it.
 *
 * Must hold: `fix` is something that a person can do; `id` is stable, so that scripts may look for it.
 */
export interface Blocker {
  /** Kind of the reason, such as `private-ram`. */
  readonly id: string;
  /** What it is about: a device, an option, a file. */
  readonly what: string;
  readonly reason: string;
  readonly fix: string;
}

/** Every blocker once, in the order of the lists. */
export function mergeBlockers(...lists: readonly (readonly Blocker[])[]): Blocker[] {
  const seen = new Map<string, Blocker>();
  for (const blocker of lists.flat()) {
    const key = `${blocker.id}\0${blocker.what}`;
    if (!seen.has(key)) seen.set(key, blocker);
  }
  return [...seen.values()];
}

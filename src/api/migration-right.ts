/**
 * What `operate` is needed for in requests to move VMs, or to change how they move.
 *
 * Must hold: who may only send VMs away chooses no file of a host by its name, has no image removed, and lets no VM stand still when
 * a time is up, for as long as its last pages take (`maxDowntimeMs` has a bound). The body may be any JSON: by way of a controller nobody has looked at it yet.
 */
import type { Right } from './right.ts';

export function neededByBody(body: unknown): readonly Right[] {
  const { diskPaths, sourceDisks, onTimeout } = (body ?? {}) as Readonly<Record<string, unknown>>;
  const isFurther = diskPaths !== undefined || sourceDisks === 'delete' || onTimeout === 'pause';
  return isFurther ? ['operate'] : [];
}

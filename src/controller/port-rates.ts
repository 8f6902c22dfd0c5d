/**
 * How much the ports of a host have.
 *
 * Owns: the choice between what its owner says, what migrations have reached, and what is usual. Pure. Must hold: what the
 * owner says is never exceeded; where he says nothing a faster network shows as soon as anything has moved.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import type { KnownHost } from './fleet-file.ts';

/** 1 Gbit/s. */
const USUAL_BYTES_PER_SECOND = 125e6;

/** Bytes a second. */
export function portRates(
  { name, bytesPerSecond }: KnownHost,
  outlooks: ReadonlyMap<string, OutlookView>,
  addresses: ReadonlyMap<string, string>,
): { readonly sending: number; readonly receiving: number } {
  if (bytesPerSecond !== null) return { sending: bytesPerSecond, receiving: bytesPerSecond };
  const own = addresses.get(name) ?? '';
  const sent = Object.values(outlooks.get(name)?.ways ?? {}).flat();
  const received = [...outlooks.values()].flatMap(({ ways }) => ways[own] ?? []);
  const fastest = (visits: typeof sent): number =>
    Math.max(USUAL_BYTES_PER_SECOND, ...visits.map((visit) => visit.bytesPerSecond));
  return { sending: fastest(sent), receiving: fastest(received) };
}

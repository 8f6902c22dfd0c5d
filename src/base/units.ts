/**
 * Quantities as people write them, and back.
 *
 * Owns: parsing and printing of sizes, rates and durations. Sizes use 1024-based KiB, MiB, GiB, TiB (K, M, G, T mean
 * the same); rates are bits or bytes a second (`1Gbit/s` = 10^9 bit/s, `200MiB/s`); durations are ms, s, m, h.
 */
import { GodwitError } from './errors.ts';

/** Maps, not objects: an object also has what every object has ("5constructor"). */
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['k', 2 ** 10],
  ['kib', 2 ** 10],
  ['m', 2 ** 20],
  ['mib', 2 ** 20],
  ['g', 2 ** 30],
  ['gib', 2 ** 30],
  ['t', 2 ** 40],
  ['tib', 2 ** 40],
]);
const BIT_UNITS: ReadonlyMap<string, number> = new Map([
  ['bit', 1],
  ['kbit', 1e3],
  ['mbit', 1e6],
  ['gbit', 1e9],
]);
const PRINTED_BIT_RATES = [
  ['Gbit/s', 1e9],
  ['Mbit/s', 1e6],
  ['kbit/s', 1e3],
] as const;
const DURATION_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['us', 0.001],
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

const PRINTED_SIZES = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const;

function split(text: string): { value: number; unit: string } | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z/]*)\s*$/i.exec(text);
  if (!match) return undefined;
  return { value: Number(match[1]), unit: match[2]!.toLowerCase() };
}

/** `512MiB` → bytes. Throws GW_INPUT_INVALID naming `field`. */
export function parseSize(text: string, field: string): number {
  const parts = split(text);
  const bytes = parts && scale(parts.value, SIZE_UNITS.get(parts.unit));
  if (bytes === undefined) throw invalid(field, text, 'a size such as 512MiB or 2GiB');
  return Math.round(bytes);
}

/** `1Gbit/s` or `200MiB/s` → bytes a second; `unlimited` → 0. Throws GW_INPUT_INVALID naming `field`. */
export function parseRate(text: string, field: string): number {
  if (text === 'unlimited') return 0;
  const parts = split(text);
  const unit = parts?.unit.replace(/\/s$|ps$/, '');
  if (parts && unit !== undefined && parts.value > 0) {
    const bits = BIT_UNITS.get(unit);
    const bytes = scale(parts.value, bits === undefined ? SIZE_UNITS.get(unit || 'no unit') : bits / 8);
    // 0 would mean unlimited.
    if (bytes !== undefined) return Math.max(1, Math.round(bytes));
  }
  throw invalid(field, text, 'a rate such as 1Gbit/s, 200MiB/s or unlimited');
}

/** `50ms`, `5m` → milliseconds. Throws GW_INPUT_INVALID naming `field`. */
export function parseDurationMs(text: string, field: string): number {
  const parts = split(text);
  const ms = parts && scale(parts.value, DURATION_UNITS_MS.get(parts.unit));
  if (ms === undefined) throw invalid(field, text, 'a duration such as 50ms, 30s or 5m');
  return ms;
}

export function formatSize(bytes: number): string {
  for (const [unit, factor] of PRINTED_SIZES) {
    // What would be printed as 1024 of the smaller unit is 1.0 of this one.
    if (bytes >= factor * (1 - 0.5 / 1024)) return `${trim(bytes / factor)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

/** Of ports and limits, as people write them: `10 Gbit/s`. */
export function formatBandwidth(bytesPerSecond: number): string {
  const bits = bytesPerSecond * 8;
  for (const [unit, factor] of PRINTED_BIT_RATES) {
    if (bits >= factor * (1 - 0.5 / 1000)) return `${trim(bits / factor).replace(/\.0$/, '')} ${unit}`;
  }
  return `${Math.round(bits)} bit/s`;
}

export function formatDuration(ms: number): string {
  if (Math.round(ms * 1000) < 1000) return `${Math.round(ms * 1000)} µs`;
  if (Math.round(ms) < 1000) return `${trim(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${trim(ms / 1000)} s`;
  return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
}

/** Undefined when there is no such unit, or the product is beyond what a number counts exactly. */
function scale(value: number, factor: number | undefined): number | undefined {
  if (factor === undefined) return undefined;
  const product = value * factor;
  return product <= Number.MAX_SAFE_INTEGER ? product : undefined;
}

function trim(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function invalid(field: string, text: string, wanted: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value: text, fix: `give ${wanted}` });
}

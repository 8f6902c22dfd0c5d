/**
 * What earlier migrations have shown of the way to another host: the link, the two hosts' fixed costs, how small pages get.
 *
 * Owns: the visits' rules, and what a migration that has not begun is told of them. Pure. Must hold: of a host nobody has
 * been to something is assumed, with doubts to match; visits that do not make sense are left out.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { FRAME_OVERHEAD_BYTES } from './dirty-estimate.ts';
import type { Doubts, PairModel } from './forecast.ts';
import type { LinkModel } from './round-model.ts';

/** One migration that completed, as its source measured it. */
export interface Visit {
  /** Unix milliseconds. */
  readonly atMs: number;
  /** The VM's UUID. */
  readonly vm: string;
  /** In the first pass, whatever limited it. */
  readonly bytesPerSecond: number;
  /** Of a page in the first pass; of one in later rounds, 0 when there were none. */
  readonly wholeBytes: number;
  readonly resentBytes: number;
  /** From the start until the first page. */
  readonly preparingMs: number;
  /** Downtime without last pages. */
  readonly fixedDowntimeMs: number;
  /** From the resume, or the last page, to the end. */
  readonly endingMs: number;
  /** How many times as long a page took in post-copy as in the first pass; 0 without post-copy. */
  readonly pushFactor: number;
}

/** By the address that was migrated to. */
export type KnownLinks = Readonly<Record<string, readonly Visit[]>>;

/** What a migration can count on before it begins. */
export interface Expectation {
  readonly link: LinkModel;
  /** The link's rate is not only assumed. */
  readonly isLinkKnown: boolean;
  readonly pair: PairModel;
  readonly preparingMs: number;
  readonly doubts: Doubts;
}

/** Hosts and links have good and bad hours: the latest visits tell more than many. */
const MAX_VISITS = 5;
const MAX_LINKS = 64;

/** 1 Gbit/s: what two hosts have between them where nobody says otherwise. */
const USUAL_BYTES_PER_SECOND = 117e6;
const RAW_BYTES = PAGE_SIZE + FRAME_OVERHEAD_BYTES;
/** Of a page that is packed, before any was. */
const USUAL_PACKED_PART = 0.6;
/** A page that is sent again has often changed in a few places only. */
const USUAL_RESENT_PART = 0.7;
/** On two busy CPUs; docs/performance.md. */
const USUAL_PREPARING_MS = 200;
const USUAL_ENDING_MS = 40;
const USUAL_PUSH_FACTOR = 1.4;

/** How far what was seen is from what will be: of the same VM, of another VM, of nobody. */
const RATE_DOUBTS = { known: 0.3, unknown: 1.3 } as const;
const BYTES_DOUBTS = { own: 0.15, others: 0.4, unknown: 0.4, raw: 0.02 } as const;
const RESENT_DOUBTS = { own: 0.3, others: 0.6 } as const;
const FIXED_DOUBTS = { known: 0.7, unknown: 0.9 } as const;
/** Two processes end, files are written, threads wait for a CPU: short, but never the same twice. */
const ENDING_DOUBT = 0.9;

export function addVisit(links: KnownLinks, to: string, visit: Visit): KnownLinks {
  const visits = [...(links[to] ?? []), visit].slice(-MAX_VISITS);
  const others = Object.entries(links).filter(([address]) => address !== to);
  return Object.fromEntries([...others.slice(1 - MAX_LINKS), [to, visits]]);
}

/**
 * @param request.isPacked - pages go through the steps that make them smaller
 * @param request.limit - bytes a second that the user allows; 0 = no limit
 */
export function expectOf(
  visits: readonly Visit[],
  request: { readonly vm: string; readonly isPacked: boolean; readonly limit: number },
): Expectation {
  const { vm, isPacked, limit } = request;
  const own = visits.filter((visit) => visit.vm === vm);
  const similar = own.length > 0 ? own : visits;
  const usual = isPacked ? RAW_BYTES * USUAL_PACKED_PART : RAW_BYTES;
  const wholeBytes = isPacked ? medianOf(similar, ({ wholeBytes }) => wholeBytes, usual) : RAW_BYTES;
  const resentUsual = isPacked ? wholeBytes * USUAL_RESENT_PART : wholeBytes;
  const known = medianOf(similar, ({ bytesPerSecond }) => bytesPerSecond, USUAL_BYTES_PER_SECOND);
  const isLimited = limit > 0 && limit < known;
  const isKnown = visits.length > 0 || isLimited;
  return {
    link: {
      bytesPerSecond: isLimited ? limit : known,
      wholeBytes,
      resentBytes: isPacked ? medianOf(similar, ({ resentBytes }) => resentBytes, resentUsual) : RAW_BYTES,
    },
    isLinkKnown: isKnown,
    pair: {
      fixedDowntimeMs: visits.length > 0 ? medianOf(visits, ({ fixedDowntimeMs }) => fixedDowntimeMs, 0) : null,
      endingMs: medianOf(visits, ({ endingMs }) => endingMs, USUAL_ENDING_MS),
      pushFactor: medianOf(visits, ({ pushFactor }) => pushFactor, USUAL_PUSH_FACTOR),
    },
    preparingMs: medianOf(visits, ({ preparingMs }) => preparingMs, USUAL_PREPARING_MS),
    doubts: {
      rate: isKnown ? Math.max(RATE_DOUBTS.known, spreadOf(similar)) : RATE_DOUBTS.unknown,
      wholeBytes: isPacked
        ? BYTES_DOUBTS[own.length > 0 ? 'own' : visits.length > 0 ? 'others' : 'unknown']
        : BYTES_DOUBTS.raw,
      resentBytes: isPacked ? RESENT_DOUBTS[own.length > 0 ? 'own' : 'others'] : BYTES_DOUBTS.raw,
      writing: 0,
      fixed: visits.length > 0 ? FIXED_DOUBTS.known : FIXED_DOUBTS.unknown,
      ending: ENDING_DOUBT,
    },
  };
}

/** From a file; what is no visit is left out. */
export function parseLinks(value: unknown): KnownLinks {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).slice(-MAX_LINKS);
  return Object.fromEntries(
    entries.map(([to, visits]) => [to, Array.isArray(visits) ? visits.filter(isVisit).slice(-MAX_VISITS) : []]),
  );
}

/** How far the rates of several visits are from each other: the standard deviation of their logarithms. */
function spreadOf(visits: readonly Visit[]): number {
  const rates = visits.map(({ bytesPerSecond }) => Math.log(bytesPerSecond));
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / Math.max(1, rates.length);
  const squares = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0);
  return Math.min(RATE_DOUBTS.unknown, Math.sqrt(squares / Math.max(1, rates.length - 1)));
}

/** Of those that have a value. */
function medianOf(visits: readonly Visit[], value: (visit: Visit) => number, otherwise: number): number {
  const values = visits
    .map(value)
    .filter((each) => each > 0)
    .sort((a, b) => a - b);
  const middle = values.length / 2;
  if (values.length === 0) return otherwise;
  return (values[Math.ceil(middle) - 1]! + values[Math.floor(middle)]!) / 2;
}

function isVisit(value: unknown): value is Visit {
  const visit = (value ?? {}) as Partial<Record<keyof Visit, unknown>>;
  const numbers = [
    visit.atMs,
    visit.resentBytes,
    visit.fixedDowntimeMs,
    visit.endingMs,
    visit.preparingMs,
    visit.pushFactor,
  ];
  const positive = [visit.bytesPerSecond, visit.wholeBytes];
  return (
    typeof visit.vm === 'string' &&
    numbers.every((each) => isAtLeast(each, 0)) &&
    positive.every((each) => isAtLeast(each, 1))
  );
}

function isAtLeast(value: unknown, least: number): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= least;
}

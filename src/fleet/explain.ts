/**
 * A plan in words.
 *
 * Owns: the sentences. Pure. Must hold: each says what happens, when, and why not sooner, in that order; nothing is
 * decided by them.
 */
import { formatDuration, formatRate, formatSize } from '../base/units.ts';
import type { Bottleneck } from './bandwidth-allocator.ts';
import type { FleetPlan, PlannedGroup, PlannedMove, Refusal, Wait } from './plan.ts';
import type { Quantiles } from './quantiles.ts';

type Bounds = Pick<FleetPlan, 'makespanMs' | 'lowerBoundMs' | 'quietBoundMs'>;

/** Longer lists of names are cut. */
const MAX_NAMES = 4;
/** From here on waits for quiet phases make a plan longer. */
const WAITING_FACTOR = 1.005;

/** One sentence a line: the whole, the groups, the moves in the order of their starts, what is refused. */
/** @param sentenceOf - of one move */
export function explainPlan(
  plan: FleetPlan,
  sentenceOf: (move: PlannedMove) => string = (move) => explainMove(move, plan.madeAtMs),
): string[] {
  const { moves, groups, refused, late, makespanMs } = plan;
  const whole =
    moves.length === 0
      ? 'Nothing is to be started'
      : `${count(moves.length, 'migration')}, over in ${formatDuration(makespanMs)}${explainBound(plan)}`;
  return [
    whole,
    ...explainLate(late),
    ...groups.filter(({ vms }) => vms.length > 1).map(explainGroup),
    ...moves.map(sentenceOf),
    ...refused.map(({ vm, why }) => explainRefusal(vm, why)),
  ];
}

/** Against the least that is possible, for after the time that it takes; empty: nothing can be said. */
export function explainBound({ makespanMs, lowerBoundMs, quietBoundMs }: Bounds): string {
  if (lowerBoundMs <= 0) return '';
  const least = `, ${(makespanMs / lowerBoundMs).toFixed(2)} times the least possible`;
  if (quietBoundMs < lowerBoundMs * WAITING_FACTOR) return least;
  return `${least} (${(makespanMs / quietBoundMs).toFixed(2)} times with the waits for quiet phases)`;
}

function explainLate(late: FleetPlan['late']): string[] {
  const [last] = late;
  if (!last) return [];
  const vms = listNames(late.map(({ vm }) => vm));
  return [
    `The deadline is missed: ${vms} will be there up to ${formatDuration(last.byMs)} too late; give more time, or a host with another network port`,
  ];
}

function explainGroup({ vms, from, to, prediction, heldPages, pages }: PlannedGroup): string {
  const part = Math.round((100 * heldPages) / Math.max(1, pages));
  const { bytes, totalMs } = prediction;
  const size = `${formatSize(bytes.p50)} in ${showDuration(totalMs)}`;
  return `${listNames(vms)} go from ${from} to ${to} one after another: ${size}; ${part} % of their pages will be there already`;
}

export function explainMove(move: PlannedMove, nowMs: number): string {
  const { vm, to, from, prediction, wait, detourTo, startsAtMs } = move;
  const inMs = startsAtMs - nowMs;
  const way =
    detourTo === null ? `to ${to}` : `to ${to} for the time being, so that ${from} has room, and then to ${detourTo}`;
  const takes = `${formatSize(prediction.bytes.p50)}, ${showDuration(prediction.totalMs)}`;
  const ends = prediction.ending === 'postCopy' ? ', ending in post-copy' : '';
  const promised =
    move.finishByMs === null ? '' : `, over within ${formatDuration(move.finishByMs)} whatever it writes`;
  const begin = wait === null ? `${vm} goes ${way} now` : `${explainWait(vm, wait, nowMs, inMs)}, then goes ${way}`;
  return `${begin} (${takes} at ${formatRate(move.bytesPerSecond)}${ends}${promised})`;
}

/** @param inMs - until it starts by the plan */
function explainWait(vm: string, wait: Wait, nowMs: number, inMs: number): string {
  const about = formatDuration(inMs);
  switch (wait.kind) {
    case 'quiet': {
      const less = Math.round(100 * (1 - wait.factorThen / Math.max(wait.factorNow, Number.EPSILON)));
      const busy = wait.untilMs - nowMs < inMs - 1 ? `, and until its way is free, ${about} in all` : '';
      return `${vm} waits ${formatDuration(wait.untilMs - nowMs)} for its quiet phase (${less} % fewer writes than now)${busy}`;
    }
    case 'bandwidth':
      return `${vm} waits ${about} for ${showBottleneck(wait.bottleneck)}${wait.behind.length > 0 ? `, behind ${listNames(wait.behind)}` : ''}`;
    case 'memory':
      return `${vm} waits ${about} for memory on ${wait.host} (${formatSize(wait.neededBytes)} needed, ${formatSize(Math.max(0, wait.freeBytes))} free)`;
    case 'contents':
      return `${vm} waits ${about} for ${wait.vm}, which is bringing much of what it has in common with it`;
    case 'keepsFree':
      return `${vm} waits ${about} so that the way is free for the quiet phase of ${wait.vm}`;
    case 'retry':
      return `${vm} waits ${about} after it failed (${wait.reason})`;
    case 'turn':
      return `${vm} waits ${about} for its turn`;
  }
}

export function explainRefusal(vm: string, why: Refusal): string {
  switch (why.kind) {
    case 'cannotConverge':
      return `${vm} is not started: it writes faster than it can be copied; allow post-copy or a longer downtime`;
    case 'noRoom':
      return `${vm} is not started: no host has room (${formatSize(why.neededBytes)} needed, at most ${formatSize(why.freeBytes)} free); add a host or move something else`;
    case 'tooLate':
      return `${vm} is not started: nine of ten times it takes up to ${formatDuration(why.p90Ms)}, which is too late; allow post-copy or more time`;
    case 'parked':
      return `${vm} is parked (${why.reason})`;
    case 'failed':
      return `${vm} failed ${why.attempts} times and is left alone (${why.reason})`;
    case 'stuck':
      return `${vm} cannot start: ${why.wait ? explainStuck(why.wait) : 'nothing leads there'}`;
  }
}

function explainStuck(wait: Wait): string {
  if (wait.kind === 'memory') {
    return `${wait.host} never has ${formatSize(wait.neededBytes)} free, and no other host has room meanwhile`;
  }
  if (wait.kind === 'bandwidth') return `${showBottleneck(wait.bottleneck)} has no bandwidth`;
  return 'it waits for what does not come';
}

function showBottleneck(bottleneck: Bottleneck): string {
  switch (bottleneck.kind) {
    case 'sending':
      return `the network of ${bottleneck.host}`;
    case 'receiving':
      return `the network of ${bottleneck.host}`;
    case 'link':
      return `the link ${bottleneck.link}`;
  }
}

function showDuration({ p10, p50, p90 }: Quantiles): string {
  return `${formatDuration(p50)} (${formatDuration(p10)} to ${formatDuration(p90)})`;
}

export function listNames(vms: readonly string[]): string {
  const shown = vms.slice(0, MAX_NAMES);
  const more = vms.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  return shown.length < 2 ? (shown[0] ?? 'nothing') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

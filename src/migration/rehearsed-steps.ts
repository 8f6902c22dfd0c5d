/**
 * The messages of a migration and the steps of the handover, gone through for practice; see rehearsal.ts.
 *
 * Must hold: every message and step on the path of the downtime is here, and the offer: a schema that is compiled at its
 * first use costs a millisecond, a large one several.
 */
import { randomUUID } from 'node:crypto';
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { RamLayout } from '../memory/layout.ts';
import { FrameType } from '../wire/frame-types.ts';
import { FRAME_HEADER_BYTES } from '../wire/limits.ts';
import { decodeControl, encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import type { Effect, Step } from './handover.ts';
import { startDestination, stepDestination } from './handover-destination.ts';
import type { DestinationEvent } from './handover-destination-state.ts';
import { startSource, stepSource } from './handover-source.ts';
import type { SourceEvent } from './handover-source-state.ts';
import { newSessionKey } from './source-offer.ts';

const MESSAGES: readonly ControlMessage[] = [
  {
    kind: 'offer',
    migrationId: randomUUID(),
    sessionKey: newSessionKey(),
    epoch: 1,
    mode: 'auto',
    verify: null,
    checkOnly: false,
    sourceHost: 'rehearsal',
    vm: {
      name: 'rehearsal',
      uuid: randomUUID(),
      wasRunning: true,
      qemuVersion: '1.0.0',
      machineType: 'pc',
      accel: 'tcg',
      cpuModel: 'qemu64',
      cpuFeatures: ['fpu'],
      binary: '/qemu',
      args: ['-S'],
      memory: new RamLayout([{ id: 'ram', bytes: PAGE_SIZE }]).toJSON(),
      diskPaths: ['/disk'],
      consoleBytes: 0,
      facts: { vcpus: 1 },
    },
  },
  { kind: 'ready', host: 'rehearsal', digestSchemes: [], notes: [] },
  { kind: 'roundEnd', round: 1, frames: 1 },
  { kind: 'roundAck', round: 1 },
  { kind: 'switchover', wasRunning: true, pagesMissing: true, history: [{ atMs: 1, pagesPerSecond: 1 }] },
  { kind: 'stopped' },
  {
    kind: 'stateEnd',
    bytes: 1,
    stoppedAtMs: 1,
    clockOffsetMs: 0,
    clockUncertaintyMs: 0,
    lastPages: 0,
    frames: 1,
    missingPages: 0,
    digest: null,
  },
  { kind: 'loaded', digest: null, loadMs: 1, timings: { digest: 0 } },
  { kind: 'commit', epoch: 1 },
  { kind: 'resumed', epoch: 1, resumedAtMs: 1, timings: { resume: 1 } },
];
const SOURCE_EVENTS: readonly SourceEvent[] = [
  { kind: 'received', message: { kind: 'ready' } },
  { kind: 'switchoverDecided', wasRunning: true, pagesMissing: true },
  { kind: 'received', message: { kind: 'loaded' } },
  { kind: 'received', message: { kind: 'resumed', resumedAtMs: 1 } },
  { kind: 'received', message: { kind: 'allPresent' } },
];
const DESTINATION_EVENTS: readonly DestinationEvent[] = [
  { kind: 'prepared' },
  { kind: 'pagesArrived' },
  { kind: 'received', message: { kind: 'switchover', wasRunning: true, pagesMissing: true } },
  { kind: 'stateLoaded' },
  { kind: 'received', message: { kind: 'commit', epoch: 1 } },
  { kind: 'guestResumed', resumedAtMs: 1 },
  { kind: 'allPagesArrived' },
];
const IDENTITY = { migration: 'rehearsal', vm: 'rehearsal', epoch: 1, peer: '' };
/** Often enough for the engine to stop interpreting. */
const TIMES = 8;

export function rehearseSteps(): void {
  for (let i = 0; i < TIMES; i++) {
    for (const message of MESSAGES) {
      decodeControl(FrameType[message.kind], encodeControl(message).subarray(FRAME_HEADER_BYTES));
    }
    let { state: source } = startSource(IDENTITY);
    for (const event of SOURCE_EVENTS) {
      source = accepted(stepSource(source, event)).state;
    }
    let { state: destination } = startDestination(IDENTITY);
    for (const event of DESTINATION_EVENTS) {
      destination = accepted(stepDestination(destination, event)).state;
    }
  }
}

function accepted<State, E extends Effect>(step: Step<State, E>): Extract<Step<State, E>, { kind: 'stepped' }> {
  if (step.kind === 'stepped') return step;
  throw new GodwitError('GW_PHASE_REFUSED', { phase: step.phase, event: step.event });
}

/** An evacuation as it is when it is asked for. */
import { randomBytes } from 'node:crypto';
import type { EvacuateBody, EvacuationView } from '../api/evacuation-schema.ts';

export type Initiator = EvacuationView['initiator'];

export function newEvacuationId(): string {
  return `e-${randomBytes(6).toString('hex')}`;
}

/** @param id - that nobody else has */
export function requestedEvacuation(
  body: EvacuateBody,
  initiator: Initiator,
  id: string = newEvacuationId(),
): EvacuationView {
  const { from, to = null, vms: onlyVms = null, skip = [], together = [], deadlineMs, by = null } = body;
  const requestedAtMs = Date.now();
  return {
    id,
    from,
    to,
    onlyVms: onlyVms === null ? null : [...onlyVms],
    skip: [...skip],
    together: together.map((set) => [...set]),
    deadlineAtMs: deadlineMs === undefined ? null : requestedAtMs + deadlineMs,
    initiator,
    by,
    state: 'waiting',
    isCancelling: false,
    owner: null,
    requestedAtMs,
    startedAtMs: null,
    endedAtMs: null,
    predictedMs: null,
    predictedEndAtMs: null,
    vms: [],
    notes: [],
    error: null,
  };
}

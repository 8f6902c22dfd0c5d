/**
 * A controller's API with a fleet that is made up: for pictures and tests of pages that would need many hosts.
 *
 * Owns: its server, on a port that the system chose. Must hold: all that it answers has the API's own types. An evacuation that is asked
 * for begins at once and goes on by `advance`.
 */

import { Readable } from 'node:stream';
import type { CommonalityView } from '../../src/api/commonality-schema.ts';
import type { EvacuationView } from '../../src/api/evacuation-schema.ts';
import { EventHub } from '../../src/api/event-hub.ts';
import type { FleetEventBody } from '../../src/api/fleet-event-schema.ts';
import type { CommonPairView, FleetPlanView, PredictedView } from '../../src/api/fleet-plan-schema.ts';
import type { FleetHostView, FleetView, FleetVmView } from '../../src/api/fleet-schema.ts';
import type { FleetService } from '../../src/api/fleet-service.ts';
import { type ApiListener, openApiListener } from '../../src/api/listen.ts';
import { RIGHTS, type Right } from '../../src/api/right.ts';
import { type ApiServer, buildFleetApiServer } from '../../src/api/server.ts';
import { SYSTEM_CLOCK } from '../../src/base/clock.ts';
import { GodwitError } from '../../src/base/errors.ts';
import { accessWith } from './api-access.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const STAYS = 'by the policy pinned it stays: name it to move it';
const VMS = ['web1', 'web2', 'web3', 'db1', 'db2', 'cache1', 'queue1', 'build1'];

export class ScriptedFleet implements AsyncDisposable {
  readonly #events = new EventHub<FleetEventBody>(SYSTEM_CLOCK);
  readonly #evacuations: EvacuationView[] = [];
  #app: ApiServer | undefined;
  #listener: ApiListener | undefined;

  /** @param token - without which nobody is answered */
  static async open(token: string | null = null, rights: readonly Right[] = RIGHTS): Promise<ScriptedFleet> {
    const fleet = new ScriptedFleet();
    const access = accessWith(token, rights);
    const app = await buildFleetApiServer({ service: fleet.#service, access, version: '0.0.0' });
    fleet.#app = app;
    fleet.#listener = await openApiListener({ kind: 'tcp', host: '127.0.0.1', port: 0 }, (request, response) =>
      app.routing(request, response),
    );
    return fleet;
  }

  get url(): string {
    return this.#listener!.url;
  }

  /** The next VM of the evacuation begins, the one on its way arrives. */
  advance(): void {
    const [evacuation] = this.#evacuations;
    if (evacuation === undefined) throw new Error('Nothing is being evacuated');
    const now = Date.now();
    const vms = evacuation.vms.map((vm) => ({ ...vm }));
    const moving = vms.find(({ state }) => state === 'running');
    if (moving) {
      const totalMs = now - moving.startedAtMs!;
      const actual = { bytes: moving.predicted!.bytes.p50 * 1.05, totalMs, downtimeMs: 31 };
      Object.assign(moving, { state: 'arrived', endedAtMs: now, actual, reason: null });
    }
    const next = vms.find(({ state }) => state === 'waiting');
    if (next) Object.assign(next, { state: 'running', startedAtMs: now, reason: null });
    const isOver = next === undefined;
    this.#change({
      ...evacuation,
      vms,
      state: isOver ? 'incomplete' : 'running',
      endedAtMs: isOver ? now : null,
      notes: [...evacuation.notes, { atMs: now, text: moving ? `${moving.vm} has arrived` : 'it has begun' }],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener?.close();
    await this.#app?.close();
  }

  #change(evacuation: EvacuationView): EvacuationView {
    this.#evacuations.splice(0, 1, evacuation);
    this.#events.emit({ kind: 'evacuationChanged', evacuation });
    return evacuation;
  }

  get #service(): FleetService {
    const unknown = (): never => {
      throw new GodwitError('GW_NOT_FOUND', { kind: 'host', name: 'scripted' });
    };
    return {
      events: this.#events,
      fleet: async () => madeUpFleet(),
      plan: async ({ host, deadlineMs }) => madeUpPlan(host, deadlineMs),
      commonality: async () => madeUpPairs(),
      hostCommonality: unknown,
      recording: unknown,
      evacuate: async ({ from }) => {
        this.#evacuations.unshift(madeUpEvacuation(from));
        this.advance();
        return this.#evacuations[0]!;
      },
      listEvacuations: async () => this.#evacuations,
      showEvacuation: async (id) => this.#evacuations.find((each) => each.id === id) ?? unknown(),
      cancelEvacuation: async () => {
        const evacuation = this.#evacuations[0]!;
        const vms = evacuation.vms.map((vm) => (vm.state === 'arrived' ? vm : { ...vm, state: 'stayed' as const }));
        return this.#change({ ...evacuation, vms, state: 'cancelled', isCancelling: true, endedAtMs: Date.now() });
      },
      setMaintenance: unknown,
      forgetHost: unknown,
      lead: async ({ atLeast }) => ({ fleet: 'scripted', epoch: atLeast + 1 }),
      balance: async ({ dryRun }) => ({
        atMs: Date.now(),
        dryRun: dryRun ?? false,
        hosts: madeUpHosts().map(({ name, pressure }) => ({
          host: name,
          cpuPart: pressure?.cpuPart ?? null,
          memoryPart: pressure?.memoryPart ?? null,
          load: pressure === null ? null : pressure.cpuPart / 0.8,
          verdict: pressure === null ? 'unknown' : pressure.cpuPart > 0.8 ? 'busy' : 'calm',
        })),
        moves: [{ vm: 'build1', from: 'a', to: 'b', text: 'uses 1.9 CPUs, and b has 3.1 to spare' }],
        words: ['a is busy'],
        evacuations: [],
      }),
      history: async () => ({ migrations: [], evacuations: this.#evacuations }),
      callHost: async (host, { path }) => {
        if (path !== '/v1/commonality') return unknown();
        const body = Readable.from([JSON.stringify(madeUpMatrices(host))]);
        return { status: 200, contentType: 'application/json', body };
      },
    };
  }
}

function madeUpFleet(): FleetView {
  return {
    atMs: Date.now(),
    controller: {
      name: 'ctl1',
      version: '0.0.0',
      store: 'nats',
      storeFailure: null,
      leads: true,
      leader: 'ctl1',
      startedAtMs: Date.now() - 3_600_000,
    },
    hosts: madeUpHosts(),
    vms: madeUpVms(),
    migrations: [],
    refusedRegistrations: [],
  };
}

function madeUpHosts(): FleetHostView[] {
  const host = (name: string, taken: number, cpuPart: number, more: Partial<FleetHostView> = {}): FleetHostView => ({
    name,
    api: `http://10.0.0.${name.charCodeAt(0) - 96}:7700`,
    migration: `10.0.0.${name.charCodeAt(0) - 96}:7710`,
    state: 'up',
    failure: null,
    heardAtMs: Date.now(),
    takesVms: true,
    maintenance: null,
    labels: {},
    registration: null,
    memoryBytes: 32 * GIB,
    takenBytes: taken * GIB,
    rateBytesPerSecond: 1.25e9,
    bandwidthBytesPerSecond: 0,
    pressure: { cpus: 8, cpuPart, memoryBytes: 32 * GIB, memoryPart: taken / 32, cpuStallPart: 0, memoryStallPart: 0 },
    vms: 0,
    ...more,
  });
  return [
    host('a', 22, 0.91, { vms: VMS.length }),
    host('b', 9, 0.31, { vms: 2 }),
    host('c', 0, 0.02, {
      takesVms: false,
      maintenance: { sinceMs: Date.now() - 7_200_000, reason: 'new memory on Tuesday' },
    }),
    host('d', 12, 0, { state: 'silent', failure: 'no answer for 42 s', pressure: null, takesVms: true }),
  ];
}

function madeUpVms(): FleetVmView[] {
  const vm = (name: string, host: string, index: number): FleetVmView => ({
    name,
    uuid: `00000000-0000-4000-8000-0000000000${String(index).padStart(2, '0')}`,
    host,
    state: 'running',
    migration: null,
    evacuation: null,
    labels: {},
    policy: null,
    ramBytes: (name.startsWith('db') ? 4 : 2) * GIB,
    dataBytes: GIB,
    cpus: 0.4,
    dirtyBytesPerSecond: (index + 1) * 3.1 * MIB,
    period:
      name === 'db1'
        ? {
            periodMs: 240_000,
            anchorMs: Date.now(),
            profile: [],
            quietFromMs: 60_000,
            quietMs: 60_000,
            confidence: 0.9,
          }
        : null,
    obstacle: name === 'queue1' ? STAYS : null,
  });
  return [...VMS.map((name, index) => vm(name, 'a', index)), vm('mail1', 'b', 20), vm('mail2', 'b', 21)];
}

function predict(totalMs: number, bytes: number): PredictedView {
  const around = (value: number): PredictedView['bytes'] => ({ p10: value * 0.8, p50: value, p90: value * 1.35 });
  return { bytes: around(bytes), totalMs: around(totalMs), downtimeMs: around(24) };
}

/** @param deadlineMs - the last VM misses a shorter one */
function madeUpPlan(from: string, deadlineMs = Infinity): FleetPlanView {
  const madeAtMs = Date.now();
  const movable = VMS.filter((name) => name !== 'queue1');
  let at = madeAtMs;
  const moves = movable.map((vm, index): FleetPlanView['moves'][number] => {
    const totalMs = 4_000 + index * 1_700;
    const startsAtMs = at + (vm === 'db1' ? 6_000 : 0);
    at = startsAtMs + totalMs;
    return {
      vm,
      from,
      to: 'b',
      detourTo: null,
      group: vm.startsWith('web') ? 0 : index,
      startsAtMs,
      endsAtMs: at,
      bytesPerSecond: 1.25e9,
      prediction: { ...predict(totalMs, (0.3 + index / 5) * GIB), ending: 'finish', boundMs: 60_000 },
      finishByMs: null,
      wait: index === 0 ? null : { kind: vm === 'db1' ? 'quiet' : 'bandwidth' },
      text:
        index === 0
          ? `${vm} goes to b now`
          : vm === 'db1'
            ? 'db1 waits for its quiet phase (94 % fewer writes than now), then goes to b'
            : `${vm} waits until the way to b is free, then goes to b`,
    };
  });
  const makespanMs = at - madeAtMs;
  return {
    from,
    to: null,
    deadlineAtMs: null,
    madeAtMs,
    makespanMs,
    lowerBoundMs: (at - madeAtMs) * 0.88,
    quietBoundMs: (at - madeAtMs) * 0.96,
    askAgainAtMs: null,
    moves,
    bundles: [],
    groups: [],
    refused: [
      {
        vm: 'queue1',
        why: { kind: 'parked', reason: STAYS },
        text: `queue1 is parked (${STAYS})`,
      },
    ],
    late: deadlineMs < makespanMs ? [{ vm: moves.at(-1)!.vm, byMs: makespanMs - deadlineMs }] : [],
    unreachable: [{ name: 'd', failure: 'no answer for 42 s' }],
    words: [],
  };
}

function madeUpEvacuation(from: string): EvacuationView {
  const plan = madeUpPlan(from);
  return {
    id: 'e1f2',
    from,
    to: null,
    onlyVms: null,
    skip: [],
    together: [],
    deadlineAtMs: null,
    initiator: 'person',
    by: 'dashboard',
    state: 'running',
    isCancelling: false,
    owner: 'ctl1',
    requestedAtMs: plan.madeAtMs,
    startedAtMs: plan.madeAtMs,
    endedAtMs: null,
    predictedMs: plan.makespanMs,
    predictedEndAtMs: plan.madeAtMs + plan.makespanMs,
    vms: [
      ...plan.moves.map(({ vm, to, startsAtMs, prediction, text }) => ({
        vm,
        state: 'waiting' as const,
        to,
        migration: null,
        groupMigration: null,
        startsAtMs,
        startedAtMs: null,
        endedAtMs: null,
        attempts: 0,
        reason: text,
        predicted: { bytes: prediction.bytes, totalMs: prediction.totalMs, downtimeMs: prediction.downtimeMs },
        actual: null,
      })),
      {
        vm: 'queue1',
        state: 'stayed',
        to: null,
        migration: null,
        groupMigration: null,
        startsAtMs: null,
        startedAtMs: null,
        endedAtMs: null,
        attempts: 0,
        reason: `queue1 is parked (${STAYS})`,
        predicted: null,
        actual: null,
      },
    ],
    notes: [],
    error: null,
  };
}

function madeUpPairs(): CommonPairView[] {
  return VMS.flatMap((a, i) =>
    VMS.slice(i + 1).map((b, j) => {
      const isKin = a.replace(/\d/, '') === b.replace(/\d/, '');
      const part = isKin ? 0.86 - j / 20 : Math.max(0.02, 0.46 - (i + j) / 14);
      return { a, b, commonBytes: part * GIB, standardErrorBytes: 8 * MIB, part };
    }),
  ).sort((a, b) => b.part - a.part);
}

/** Within pages all are more alike. */
function madeUpMatrices(host: string): CommonalityView {
  const square = (value: (i: number, j: number) => number): number[][] =>
    VMS.map((_, i) => VMS.map((__, j) => value(i, j)));
  const grain = (grainBytes: number, part: number): CommonalityView['grains'][number] => ({
    ...{ grainBytes, refuted: 0, common: square((i, j) => (i === j ? GIB : part * GIB)) },
    standardError: square((i, j) => (i === j ? 0 : MIB)),
  });
  const grains = [grain(4096, 0.3), grain(1024, 0.4), grain(64, 0.73)];
  return { host, atMs: Date.now(), isExact: false, vms: VMS, leftOut: [], grains, sameMemory: square(() => 0) };
}

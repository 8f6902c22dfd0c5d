/**
 * Both halves of the handover, their journals, guests and the connection between them, explored exhaustively.
 *
 * Owns: the actions that the world can take: one effect of one side, delivery of one message, one thing that an engine
 * reports, and the faults (cut, crash, cancel, the end of the destination's QEMU), each as often as its budget says.
 * Every order of all of them is visited. Time is not modelled: whatever can happen may happen next.
 */
import type { ErrorBody } from '../../src/base/errors.ts';
import type {
  DestinationEffect,
  DestinationMessage,
  DestinationRecord,
  JournalRecord,
  SourceEffect,
  SourceMessage,
  SourceRecord,
} from '../../src/migration/handover.ts';
import { startDestination } from '../../src/migration/handover-destination.ts';
import { recoverDestination } from '../../src/migration/handover-destination-recovery.ts';
import type {
  DestinationEvent,
  DestinationState,
  DestinationStep,
} from '../../src/migration/handover-destination-state.ts';
import { startSource } from '../../src/migration/handover-source.ts';
import { recoverSource } from '../../src/migration/handover-source-recovery.ts';
import type { SourceEvent, SourceState, SourceStep } from '../../src/migration/handover-source-state.ts';

export interface Budget {
  readonly cuts: number;
  readonly sourceCrashes: number;
  readonly destinationCrashes: number;
  readonly cancels: number;
  readonly guestLosses: number;
  /** The source's QEMU ends after the commit, and the pages with it. */
  readonly memoryLosses: number;
  /** The user pauses the VM at the destination: a restart there must not continue it. */
  readonly userPauses: number;
}

export interface Scenario {
  readonly wasRunning: boolean;
  readonly pagesMissing: boolean;
  readonly budget: Budget;
  readonly stepSource: (state: SourceState, event: SourceEvent) => SourceStep;
  readonly stepDestination: (state: DestinationState, event: DestinationEvent) => DestinationStep;
}

type Guest = 'none' | 'incoming' | 'paused' | 'running';
type Sent = SourceMessage | { readonly kind: 'rest' };

export interface World {
  budget: Budget;
  wireAlive: boolean;
  toDestination: Sent[];
  toSource: DestinationMessage[];
  source: {
    up: boolean;
    state: SourceState | null;
    pending: SourceEffect[];
    journal: SourceRecord[];
    guest: Guest;
    redialling: boolean;
    serving: boolean;
    memoryGone: boolean;
    outcome: string | null;
  };
  destination: {
    up: boolean;
    hasConnection: boolean;
    state: DestinationState | null;
    pending: DestinationEffect[];
    journal: DestinationRecord[];
    guest: Guest;
    guestDied: boolean;
    restArrived: boolean;
    loading: boolean;
    resuming: boolean;
    paging: boolean;
    allPages: boolean;
    userPaused: boolean;
    outcome: string | null;
  };
}

export interface Exploration {
  readonly states: number;
  readonly terminals: readonly World[];
  /** The first rule broken and the actions that led there; null if none was. */
  readonly violation: { readonly rule: string; readonly path: readonly string[]; readonly world: World } | null;
}

const IDENTITY = { migration: 'm', vm: 'v', epoch: 2, peer: 'p' };
const ERROR: ErrorBody = { code: 'GW_INTERNAL', message: 'e', details: {} };

interface Action {
  readonly name: string;
  readonly isFault: boolean;
  readonly apply: (world: World) => void;
}

/** A rule of the handover was broken inside an action. */
class Broken extends Error {}

/** Visits every reachable state; stops at the first broken rule. */
export function explore(scenario: Scenario): Exploration {
  const first = initialWorld(scenario);
  const ids = new Map<string, number>([[JSON.stringify(first), 0]]);
  const cameFrom: { parent: number; action: string }[] = [{ parent: -1, action: 'start' }];
  const quietEdges: number[][] = [];
  const queue: World[] = [first];
  const terminals: World[] = [];
  for (let at = 0; at < queue.length; at++) {
    const world = queue[at]!;
    const fail = (rule: string, action?: string) => ({
      states: ids.size,
      terminals,
      violation: { rule, path: [...pathTo(cameFrom, at), ...(action === undefined ? [] : [action])], world },
    });
    const broken = brokenRule(world, scenario);
    if (broken !== null) return fail(broken);
    const edges: number[] = [];
    const text = JSON.stringify(world);
    for (const action of actionsOf(world, scenario)) {
      const next = JSON.parse(text) as World;
      try {
        action.apply(next);
      } catch (error) {
        if (error instanceof Broken) return fail(error.message, action.name);
        throw error;
      }
      const key = JSON.stringify(next);
      let id = ids.get(key);
      if (id === undefined) {
        id = queue.length;
        ids.set(key, id);
        queue.push(next);
        cameFrom.push({ parent: at, action: action.name });
      }
      if (!action.isFault) edges.push(id);
    }
    quietEdges.push(edges);
    if (edges.length === 0) {
      terminals.push(world);
      const bad = brokenEnd(world, scenario);
      if (bad !== null) return fail(bad);
    }
  }
  const cycle = findCycle(quietEdges);
  if (cycle >= 0) {
    const path = pathTo(cameFrom, cycle);
    return { states: ids.size, terminals, violation: { rule: 'does not end', path, world: queue[cycle]! } };
  }
  return { states: ids.size, terminals, violation: null };
}

function initialWorld({ budget, wasRunning }: Scenario): World {
  const { state, effects } = startSource(IDENTITY);
  return {
    budget,
    wireAlive: true,
    toDestination: [],
    toSource: [],
    source: {
      up: true,
      state,
      pending: [...effects],
      journal: [],
      guest: wasRunning ? 'running' : 'paused',
      redialling: false,
      serving: false,
      memoryGone: false,
      outcome: null,
    },
    destination: {
      up: true,
      hasConnection: true,
      state: null,
      pending: [],
      journal: [],
      guest: 'none',
      guestDied: false,
      restArrived: false,
      loading: false,
      resuming: false,
      paging: false,
      allPages: false,
      userPaused: false,
      outcome: null,
    },
  };
}

/** What must hold in every state. */
function brokenRule({ source, destination }: World, scenario: Scenario): string | null {
  const committed = source.journal.some(({ kind }) => kind === 'committed');
  const owner = destination.journal.some(({ kind }) => kind === 'owner');
  if (source.guest === 'running' && destination.guest === 'running') return 'two guests run';
  if (committed && source.guest === 'running') return 'the source runs after the commit';
  if (destination.guest === 'running' && !(committed && owner)) return 'the destination runs before it owns';
  if (!scenario.wasRunning && (source.guest === 'running' || destination.guest === 'running')) {
    return 'a paused VM runs';
  }
  if (committed && destination.guest === 'none' && !destination.guestDied && !source.memoryGone)
    return 'no VM after the commit';
  if (!committed && source.guest === 'none') return 'no VM before the commit';
  const isOver = recordedOutcome(destination.journal) !== null;
  if (source.guest === 'none' && !destination.allPages && !isOver) return 'the source freed pages that are missing';
  return null;
}

/** What must hold where nothing more happens by itself. */
function brokenEnd({ source, destination }: World, scenario: Scenario): string | null {
  const committed = source.journal.some(({ kind }) => kind === 'committed');
  const here = scenario.wasRunning ? 'running' : 'paused';
  if (!committed) {
    if (source.guest !== here) return 'ends without the VM at the source as it was';
    return destination.guest === 'none' ? null : 'ends with something left at the destination';
  }
  const lost = source.outcome === 'lost' && destination.outcome !== 'completed';
  if (destination.guestDied || (source.memoryGone && lost)) {
    if (!lost) return 'ends without saying that the VM is lost';
    const owned = destination.journal.some(({ kind }) => kind === 'owner');
    if (!owned && !source.memoryGone) return source.guest === 'paused' ? null : 'ends without the VM that never moved';
    return source.guest === 'none' ? null : 'ends with something left at the source';
  }
  const there = destination.userPaused ? 'paused' : here;
  if (destination.guest !== there || !destination.allPages) return 'ends without the whole VM at the destination';
  if (source.guest !== 'none') return 'ends with something left at the source';
  return source.outcome === 'completed' && destination.outcome === 'completed' ? null : 'ends without a result';
}

function actionsOf(world: World, scenario: Scenario): Action[] {
  return [...sourceActions(world, scenario), ...destinationActions(world, scenario), ...faults(world, scenario)];
}

function sourceActions({ source, destination, wireAlive, toSource }: World, scenario: Scenario): Action[] {
  const quiet = action(false);
  if (!source.up) return [quiet('source restarts', restartSource)];
  if (source.pending.length > 0) return [quiet(`source ${source.pending[0]!.kind}`, runSourceEffect)];
  const { state } = source;
  if (state === null) return [];
  const give = (event: SourceEvent) => (world: World) => giveSource(world, event, scenario);
  const actions: Action[] = [];
  if (state.connected && !wireAlive) {
    actions.push(quiet('source notices the cut', give({ kind: 'connectionLost', error: ERROR })));
  }
  if (wireAlive && state.connected && toSource.length > 0) {
    actions.push(
      quiet(`source hears ${toSource[0]!.kind}`, (world) => {
        giveSource(world, { kind: 'received', message: world.toSource.shift()! }, scenario);
      }),
    );
  }
  const serves = state.phase === 'committed' || state.phase === 'serving';
  if (source.memoryGone && serves) {
    actions.push(quiet('source finds QEMU gone', give({ kind: 'guestLost', error: ERROR })));
  }
  if (state.phase === 'copying') {
    const { wasRunning, pagesMissing } = scenario;
    actions.push(quiet('switchover', give({ kind: 'switchoverDecided', wasRunning, pagesMissing })));
  }
  if (source.redialling && destination.up && !destination.hasConnection && destination.pending.length === 0) {
    actions.push(
      quiet('source reconnects', (world) => {
        world.wireAlive = true;
        world.toDestination = [];
        world.toSource = [];
        world.destination.hasConnection = true;
        world.source.redialling = false;
        giveSource(world, { kind: 'connected' }, scenario);
      }),
    );
  }
  return actions;
}

function destinationActions({ source, destination, wireAlive, toDestination }: World, scenario: Scenario): Action[] {
  const quiet = action(false);
  if (!destination.up) return [quiet('destination restarts', restartDestination)];
  if (destination.pending.length > 0) {
    return [quiet(`destination ${destination.pending[0]!.kind}`, runDestinationEffect)];
  }
  const give = (event: DestinationEvent) => (world: World) => giveDestination(world, event, scenario);
  const actions: Action[] = [];
  const { state, hasConnection } = destination;
  // What the engine finds out by itself after a restart comes before anything that it hears.
  const dies = state?.phase === 'loaded' || state?.phase === 'resuming' || state?.phase === 'pagingIn';
  if (destination.guestDied && dies) {
    return [quiet('destination finds QEMU gone', give({ kind: 'guestLost', error: ERROR }))];
  }
  if (destination.paging && destination.allPages) return [quiet('all pages are here', arriveAll(scenario))];
  if (hasConnection && !wireAlive) {
    actions.push(
      quiet('destination notices the cut', (world) => {
        world.destination.hasConnection = false;
        if (world.destination.state !== null) {
          giveDestination(world, { kind: 'connectionLost', error: ERROR }, scenario);
        }
      }),
    );
  }
  if (wireAlive && hasConnection && toDestination.length > 0) {
    actions.push(
      quiet(`destination hears ${toDestination[0]!.kind}`, (world) =>
        hear(world, world.toDestination.shift()!, scenario),
      ),
    );
  }
  if (state?.phase === 'preparing') {
    actions.push(
      quiet('destination is ready', (world) => {
        world.destination.guest = 'incoming';
        giveDestination(world, { kind: 'prepared' }, scenario);
      }),
      quiet('destination refuses', give({ kind: 'refused', error: ERROR })),
    );
  }
  if (destination.loading && destination.restArrived) {
    actions.push(
      quiet('state loaded', (world) => {
        world.destination.loading = false;
        world.destination.guest = 'paused';
        world.destination.allPages = !scenario.pagesMissing;
        giveDestination(world, { kind: 'stateLoaded' }, scenario);
      }),
    );
  }
  if (destination.resuming) {
    actions.push(
      quiet('guest resumed', (world) => {
        world.destination.resuming = false;
        giveDestination(world, { kind: 'guestResumed', resumedAtMs: 1 }, scenario);
      }),
    );
  }
  const linked = wireAlive && hasConnection && source.up && source.serving && source.state?.connected === true;
  if (destination.paging && linked && source.guest !== 'none' && !source.memoryGone) {
    actions.push(quiet('all pages arrived', arriveAll(scenario)));
  }
  return actions;
}

function arriveAll(scenario: Scenario): (world: World) => void {
  return (world) => {
    world.destination.paging = false;
    world.destination.allPages = true;
    giveDestination(world, { kind: 'allPagesArrived' }, scenario);
  };
}

function faults({ budget, source, destination, wireAlive }: World, scenario: Scenario): Action[] {
  const actions: Action[] = [];
  const add = (kind: keyof Budget, allowed: boolean, apply: (world: World) => void) => {
    if (budget[kind] === 0 || !allowed) return;
    actions.push({
      name: `fault ${kind}`,
      isFault: true,
      apply: (world) => {
        world.budget = { ...world.budget, [kind]: world.budget[kind] - 1 };
        apply(world);
      },
    });
  };
  const sourceIdle = source.up && source.pending.length === 0 && source.state !== null;
  const destinationIdle = destination.up && destination.pending.length === 0 && destination.state !== null;
  add('cuts', wireAlive, cut);
  add('sourceCrashes', source.up, (world) => {
    cut(world);
    Object.assign(world.source, { up: false, state: null, pending: [], redialling: false, serving: false });
  });
  add('destinationCrashes', destination.up, (world) => {
    cut(world);
    Object.assign(world.destination, { up: false, hasConnection: false, state: null, pending: [] });
    forgetWork(world);
  });
  add('cancels', sourceIdle, (world) => giveSource(world, { kind: 'cancelled' }, scenario));
  const alive = destination.guest === 'paused' || destination.guest === 'running';
  add(
    'guestLosses',
    destinationIdle && alive && !destination.loading && destination.state?.phase !== 'done',
    (world) => {
      world.destination.guest = 'none';
      world.destination.guestDied = true;
      world.destination.resuming = false;
      world.destination.paging = false;
      giveDestination(world, { kind: 'guestLost', error: ERROR }, scenario);
    },
  );
  const givenAway = source.state?.phase === 'committed' || source.state?.phase === 'serving';
  add('memoryLosses', sourceIdle && givenAway && scenario.pagesMissing, (world) => {
    world.source.memoryGone = true;
    giveSource(world, { kind: 'guestLost', error: ERROR }, scenario);
  });
  const resumed = destination.journal.some(({ kind }) => kind === 'resumed');
  add('userPauses', destination.guest === 'running' && resumed, (world) => {
    world.destination.guest = 'paused';
    world.destination.userPaused = true;
  });
  return actions;
}

function giveSource(world: World, event: SourceEvent, scenario: Scenario): void {
  const step = scenario.stepSource(world.source.state!, event);
  if (step.kind === 'refused') {
    if (event.kind === 'cancelled') return;
    throw new Broken(`source refuses ${step.event} in ${step.phase}`);
  }
  world.source.state = step.state;
  world.source.pending.push(...step.effects);
}

function giveDestination(world: World, event: DestinationEvent, scenario: Scenario): void {
  const step = scenario.stepDestination(world.destination.state!, event);
  if (step.kind === 'refused') throw new Broken(`destination refuses ${step.event} in ${step.phase}`);
  world.destination.state = step.state;
  world.destination.pending.push(...step.effects);
}

function hear(world: World, message: Sent, scenario: Scenario): void {
  const { destination } = world;
  if (message.kind === 'rest') {
    destination.restArrived = true;
  } else if (destination.state !== null) {
    giveDestination(world, { kind: 'received', message }, scenario);
  } else if (message.kind === 'offer') {
    const { state, effects } = startDestination(IDENTITY);
    destination.state = state;
    destination.pending.push(...effects);
  } else {
    world.toSource.push({ kind: 'unknown' });
  }
}

function runSourceEffect(world: World): void {
  const { source } = world;
  const effect = source.pending.shift()!;
  switch (effect.kind) {
    case 'writeJournal':
      source.journal.push(effect.record);
      return;
    case 'send':
      if (world.wireAlive) world.toDestination.push(effect.message);
      return;
    case 'sendRest':
      if (world.wireAlive) world.toDestination.push({ kind: 'rest' });
      return;
    case 'stopGuest':
      source.guest = 'paused';
      return;
    case 'servePages':
      source.serving = true;
      return;
    case 'rollBack':
      if (effect.resume) source.guest = 'running';
      return;
    case 'discardGuest':
      source.guest = 'none';
      return;
    case 'redial':
      source.redialling = true;
      return;
    case 'finish':
      source.outcome = effect.outcome;
      return;
    case 'keepGuest':
    case 'offerLater':
      return;
  }
}

function runDestinationEffect(world: World): void {
  const { destination } = world;
  const effect = destination.pending.shift()!;
  switch (effect.kind) {
    case 'writeJournal':
      destination.journal.push(effect.record);
      return;
    case 'send':
      if (world.wireAlive && destination.hasConnection) world.toSource.push(effect.message);
      return;
    case 'discardGuest':
      destination.guest = 'none';
      forgetWork(world);
      return;
    case 'loadState':
      destination.loading = true;
      return;
    case 'pageIn':
      destination.paging = true;
      return;
    case 'resumeGuest':
      if (destination.guestDied) return;
      if (destination.guest === 'incoming' || destination.guest === 'none') throw new Broken('resumes without a VM');
      if (destination.userPaused) throw new Broken('continues a VM that its user paused');
      destination.guest = 'running';
      destination.resuming = true;
      return;
    case 'finish':
      destination.outcome = effect.outcome;
      return;
  }
}

function restartSource(world: World): void {
  const recovered = recoverSource(world.source.journal);
  world.source.up = true;
  world.source.state = recovered?.state ?? null;
  world.source.pending = [...(recovered?.effects ?? [])];
  world.source.outcome = recordedOutcome(world.source.journal);
}

function restartDestination(world: World): void {
  const recovered = recoverDestination(world.destination.journal);
  world.destination.up = true;
  world.destination.state = recovered?.state ?? null;
  world.destination.pending = [...(recovered?.effects ?? [])];
  world.destination.outcome = recordedOutcome(world.destination.journal);
}

function recordedOutcome(journal: readonly JournalRecord[]): string | null {
  const last = journal.at(-1);
  return last?.kind === 'ended' ? last.outcome : null;
}

function forgetWork({ destination }: World): void {
  Object.assign(destination, { restArrived: false, loading: false, resuming: false, paging: false });
}

function cut(world: World): void {
  world.wireAlive = false;
  world.toDestination = [];
  world.toSource = [];
}

function action(isFault: boolean): (name: string, apply: (world: World) => void) => Action {
  return (name, apply) => ({ name, isFault, apply });
}

function pathTo(cameFrom: readonly { parent: number; action: string }[], at: number): string[] {
  const path: string[] = [];
  for (let i = at; i > 0; i = cameFrom[i]!.parent) path.unshift(cameFrom[i]!.action);
  return path;
}

/** A state on a cycle of fault-free actions, or -1 (Kahn's algorithm). */
function findCycle(edges: readonly number[][]): number {
  const incoming = new Uint32Array(edges.length);
  for (const targets of edges) for (const target of targets) incoming[target]!++;
  const free: number[] = [];
  for (let i = 0; i < incoming.length; i++) if (incoming[i] === 0) free.push(i);
  for (let at = 0; at < free.length; at++) {
    for (const target of edges[free[at]!]!) if (--incoming[target]! === 0) free.push(target);
  }
  return free.length === edges.length ? -1 : incoming.findIndex((count) => count > 0);
}

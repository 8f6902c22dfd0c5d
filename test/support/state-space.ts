/**
 * Visits every state that a model can come to, breadth first, and looks for the first that breaks a rule.
 *
 * Owns: the search. A model's *quiet* actions are those that happen by themselves, sooner or later; the others may happen
 * or not. Besides the model's own rules it holds that quiet actions come to an end: a cycle of them is two parties that
 * hand something to and fro for ever. Where no quiet action is left, the model says what is amiss.
 */
export interface SpaceAction<World> {
  readonly name: string;
  readonly isQuiet: boolean;
  /** Changes the world, a copy of its own. */
  readonly apply: (world: World) => void;
}

export interface Space<World> {
  readonly first: World;
  readonly copy: (world: World) => World;
  /** Equal for worlds that behave alike. */
  readonly keyOf: (world: World) => string;
  readonly actionsOf: (world: World) => readonly SpaceAction<World>[];
  /** What must hold everywhere: the rule that does not, or null. */
  readonly brokenRule: (world: World) => string | null;
  /** What must hold where nothing happens by itself. */
  readonly brokenEnd: (world: World) => string | null;
}

export interface SpaceViolation {
  readonly rule: string;
  readonly path: readonly string[];
}

export interface SpaceVisit {
  readonly states: number;
  /** Where nothing happens by itself. */
  readonly ends: number;
  /** The first rule broken, with the fewest actions that lead there; null if none was. */
  readonly violation: SpaceViolation | null;
}

/** An action cannot be carried out without breaking a rule. */
export class Broken extends Error {}

interface Origin {
  readonly parent: number;
  readonly action: string;
}

export function visitSpace<World>(space: Space<World>): SpaceVisit {
  const ids = new Map<string, number>([[space.keyOf(space.first), 0]]);
  const origins: Origin[] = [{ parent: -1, action: 'start' }];
  // Only those that are still to be looked at: what has been seen is known by its key.
  const worlds = new Map<number, World>([[0, space.first]]);
  const quietEdges: number[][] = [];
  let ends = 0;
  for (let at = 0; at < origins.length; at++) {
    const world = worlds.get(at)!;
    worlds.delete(at);
    const fail = (rule: string, ...last: string[]): SpaceVisit => ({
      states: origins.length,
      ends,
      violation: { rule, path: [...pathTo(origins, at), ...last] },
    });
    const broken = space.brokenRule(world);
    if (broken !== null) return fail(broken);
    const edges: number[] = [];
    for (const action of space.actionsOf(world)) {
      const next = space.copy(world);
      try {
        action.apply(next);
      } catch (error) {
        if (error instanceof Broken) return fail(error.message, action.name);
        throw error;
      }
      const key = space.keyOf(next);
      let id = ids.get(key);
      if (id === undefined) {
        id = origins.length;
        ids.set(key, id);
        worlds.set(id, next);
        origins.push({ parent: at, action: action.name });
      }
      if (action.isQuiet) edges.push(id);
    }
    quietEdges.push(edges);
    if (edges.length > 0) continue;
    ends++;
    const bad = space.brokenEnd(world);
    if (bad !== null) return fail(bad);
  }
  const cycle = findCycle(quietEdges);
  const violation = cycle < 0 ? null : { rule: 'goes on for ever', path: pathTo(origins, cycle) };
  return { states: origins.length, ends, violation };
}

/** More quiet actions than any walk has left over. */
const MAX_QUIET_ACTIONS = 10_000;

/**
 * One way through a space that is too large to visit: each choice takes one of the actions that there are; then the quiet
 * ones are taken to their end.
 */
export function walkSpace<World>(space: Space<World>, choices: readonly number[]): SpaceViolation | null {
  const world = space.copy(space.first);
  const path: string[] = [];
  for (let step = 0; step < choices.length + MAX_QUIET_ACTIONS; step++) {
    const all = space.actionsOf(world);
    const actions = step < choices.length ? all : all.filter(({ isQuiet }) => isQuiet);
    const broken = space.brokenRule(world) ?? (actions.length === 0 ? space.brokenEnd(world) : null);
    if (broken !== null) return { rule: broken, path };
    if (actions.length === 0) return null;
    const action = actions[(choices[step] ?? step) % actions.length]!;
    path.push(action.name);
    try {
      action.apply(world);
    } catch (error) {
      if (error instanceof Broken) return { rule: error.message, path };
      throw error;
    }
  }
  return { rule: 'goes on for ever', path };
}

function pathTo(origins: readonly Origin[], at: number): string[] {
  const path: string[] = [];
  for (let i = at; i > 0; i = origins[i]!.parent) path.unshift(origins[i]!.action);
  return path;
}

/** A state on a cycle of quiet actions, or behind one; -1 if there is none (Kahn's algorithm). */
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

/**
 * How the evacuations that one controller carries out plan beside each other.
 *
 * Owns: whose turn it is. Must hold: one at a time looks at the hosts, plans, and begins, and what it has begun counts for all others from
 * then on, so that no memory and no port is given away twice; whatever ends, all plan anew; of those that wait for their turn the
 * one is first that has begun nothing for longest, so that none starves.
 */
import type { Arrival } from './evacuation-port.ts';
import type { FleetPicture } from './fleet-picture.ts';
import { type RunningMove, withArrivals, withBegun } from './settled-picture.ts';

/** One evacuation. */
export interface JointPlanner {
  /** The host that its VMs leave. */
  readonly from: string;
  running(): readonly RunningMove[];
  arrived(): readonly Arrival[];
  /** It looks and plans again. */
  wake(): void;
}

/** Of what is later than that nobody knows whether it ends: as long as a silent destination is waited for. */
const LONGEST_LATE_MS = 300_000;

interface Waiting {
  readonly planner: JointPlanner;
  readonly start: () => void;
}

export class JointPlanning {
  /** With the number of what each has begun last. */
  readonly #planners = new Map<JointPlanner, number>();
  #waiting: readonly Waiting[] = [];
  #isTaken = false;
  #begun = 0;

  join(planner: JointPlanner): Disposable {
    this.#planners.set(planner, 0);
    return { [Symbol.dispose]: () => void this.#planners.delete(planner) };
  }

  /** @param plan - says whether it has begun anything */
  async take<Step extends { readonly hasBegun: boolean }>(
    planner: JointPlanner,
    plan: () => Promise<Step>,
  ): Promise<Step> {
    await new Promise<void>((start) => {
      this.#waiting = [...this.#waiting, { planner, start }];
      this.#giveTurn();
    });
    try {
      const step = await plan();
      if (step.hasBegun && this.#planners.has(planner)) this.#planners.set(planner, ++this.#begun);
      return step;
    } finally {
      this.#isTaken = false;
      this.#giveTurn();
    }
  }

  /** With what the others know of their own migrations. */
  complete(picture: FleetPicture, planner: JointPlanner): FleetPicture {
    return this.#othersOf(planner).reduce(
      (completed, other) => withBegun(withArrivals(completed, other.from, other.arrived()), other.running()),
      picture,
    );
  }

  /** Whether any migration of another one may end soon, and leave room. */
  doOthersMove(planner: JointPlanner, nowMs: number): boolean {
    const mayEnd = ({ endsAtMs }: RunningMove): boolean => nowMs < endsAtMs + LONGEST_LATE_MS;
    return this.#othersOf(planner).some((other) => other.running().some(mayEnd));
  }

  wakeOthers(planner: JointPlanner): void {
    for (const other of this.#othersOf(planner)) other.wake();
  }

  #othersOf(planner: JointPlanner): JointPlanner[] {
    return [...this.#planners.keys()].filter((other) => other !== planner);
  }

  #giveTurn(): void {
    // All that are woken by the same end ask for their turn before this.
    setImmediate(() => {
      if (this.#isTaken) return;
      const begun = ({ planner }: Waiting): number => this.#planners.get(planner) ?? 0;
      const [first, ...rest] = this.#waiting.toSorted((a, b) => begun(a) - begun(b));
      if (!first) return;
      this.#waiting = rest;
      this.#isTaken = true;
      first.start();
    });
  }
}

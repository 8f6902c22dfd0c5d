/**
 * How the evacuations that one controller carries out plan beside each other.
 *
 * Owns: whose turn it is. Must hold: all that wait share one look at the hosts, and plan one after the other, without a pause, each
 * beginning what is due; what one has begun counts for all others from then on, so that no memory and no port is given away twice;
 * whatever ends, all plan anew, from a look that began later; the one is first that has begun nothing for longest, so that none starves,
 * and those that never begin anything hold up no other.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
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

/** What hosts have told at one look, of which each evacuation has a picture of its own. */
export interface SharedLook {
  pictureFor(evacuation: Pick<EvacuationView, 'onlyVms' | 'together'>): FleetPicture;
}

interface Waiting {
  readonly planner: JointPlanner;
  readonly ask: () => Promise<SharedLook>;
  readonly plan: (look: SharedLook) => void;
  readonly fail: (error: unknown) => void;
}

export class JointPlanning {
  /** With the number of what each has begun last. */
  readonly #planners = new Map<JointPlanner, number>();
  #waiting: readonly Waiting[] = [];
  #isLooking = false;
  #begun = 0;

  join(planner: JointPlanner): Disposable {
    this.#planners.set(planner, 0);
    return { [Symbol.dispose]: () => void this.#planners.delete(planner) };
  }

  /**
   * Throws what either of both throws.
   *
   * @param ask - looks at the hosts, unless another one that waits does
   * @param plan - says whether it has begun anything
   */
  take<Step extends { readonly hasBegun: boolean }>(
    planner: JointPlanner,
    ask: () => Promise<SharedLook>,
    plan: (look: SharedLook) => Step,
  ): Promise<Step> {
    const { promise, resolve, reject } = Promise.withResolvers<Step>();
    const take = (look: SharedLook): void => {
      try {
        const step = plan(look);
        if (step.hasBegun && this.#planners.has(planner)) this.#planners.set(planner, ++this.#begun);
        resolve(step);
      } catch (error) {
        reject(error);
      }
    };
    this.#waiting = [...this.#waiting, { planner, ask, plan: take, fail: reject }];
    this.#giveTurns();
    return promise;
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

  #giveTurns(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    // All that are woken by the same end ask for their turn before this.
    setImmediate(async () => {
      const waiting = this.#waiting;
      // Who asks from now on may have been woken by what this look does not see.
      this.#waiting = [];
      try {
        const look = await waiting[0]!.ask();
        const begun = ({ planner }: Waiting): number => this.#planners.get(planner) ?? 0;
        for (const { plan } of waiting.toSorted((a, b) => begun(a) - begun(b))) plan(look);
      } catch (error) {
        for (const { fail } of waiting) fail(error);
      }
      this.#isLooking = false;
      if (this.#waiting.length > 0) this.#giveTurns();
    });
  }
}

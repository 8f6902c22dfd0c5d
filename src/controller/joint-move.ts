/**
 * VMs that are to switch over at one moment (`--together`), as their host tells of their migrations.
 *
 * Owns: how far each is, and what follows for the others. Must hold: all are told to go on in one message, when all are ready; where one
 * ends before that and has not arrived the others, which run where they were, are cancelled; one that has gone by itself (its time was
 * over, a deadline) is waited for by nobody. Each of it may be done twice: whoever goes on with an evacuation begins with what is told.
 */
import type { BegunMove, EvacuationHosts, MigrationStage } from './evacuation-port.ts';
import { patiently } from './host-patience.ts';

type JointHosts = Pick<EvacuationHosts, 'letGo' | 'cancel'>;

interface Member {
  /** null: not known yet. */
  readonly id: string | null;
  readonly stage: MigrationStage | 'arrived' | 'stayed';
}

export class JointMove {
  readonly #hosts: JointHosts;
  readonly #host: string;
  readonly #watching: AbortSignal;
  readonly #members: Map<string, Member>;
  /** Ids of those that have been told, or are just now. */
  readonly #told = new Set<string>();
  #isGoing = false;
  #absentee: string | null = null;

  /** @param vms - all that leave `host` together @param watching - aborted: somebody else looks after them */
  constructor(hosts: JointHosts, host: string, vms: readonly string[], watching: AbortSignal) {
    this.#hosts = hosts;
    this.#host = host;
    this.#watching = watching;
    this.#members = new Map(vms.map((vm) => [vm, { id: null, stage: 'copying' }]));
  }

  /** Because of which the others have been cancelled; null: none. */
  get absentee(): string | null {
    return this.#absentee;
  }

  /** Nothing may have been heard of it. */
  begun(vm: string, id: string): void {
    if (this.#members.get(vm)?.id !== id) this.heard(vm, id, 'copying');
  }

  heard(vm: string, id: string, stage: MigrationStage): void {
    this.#members.set(vm, { id, stage });
    this.#look();
  }

  ended(vm: string, hasArrived: boolean): void {
    this.#members.set(vm, { id: null, stage: hasArrived ? 'arrived' : 'stayed' });
    this.#look();
  }

  #look(): void {
    if (this.#watching.aborted) return;
    const stages = [...this.#members.values()].map(({ stage }) => stage);
    if (!this.#isGoing) {
      this.#absentee ??= [...this.#members].find(([, { stage }]) => stage === 'stayed')?.[0] ?? null;
      const isUnderway = stages.some((stage) => stage === 'leaving' || stage === 'arrived');
      this.#isGoing = this.#absentee === null && (isUnderway || stages.every((stage) => stage === 'ready'));
    }
    const waiting = [...this.#members.values()].flatMap(({ id, stage }) =>
      id !== null && (stage === 'copying' || stage === 'ready') && !this.#told.has(id) ? [id] : [],
    );
    if (waiting.length === 0) return;
    if (this.#isGoing) this.#tell(waiting, () => this.#hosts.letGo(this.#host, waiting));
    else if (this.#absentee !== null)
      for (const id of waiting) this.#tell([id], () => this.#hosts.cancel(this.#host, id));
  }

  #tell(ids: readonly string[], order: () => Promise<unknown>): void {
    for (const id of ids) this.#told.add(id);
    // One that refuses is told again with the next that is heard of it; its end is told whatever it was.
    const refused = (): void => {
      for (const id of ids) this.#told.delete(id);
    };
    patiently(this.#watching, order).catch(refused);
  }
}

/** What another one has begun, by VM. One that is not on its way any more has arrived, or has stayed. */
export function rejoin(
  hosts: JointHosts,
  running: readonly BegunMove[],
  hasArrived: (vm: string) => boolean,
  watching: AbortSignal,
): ReadonlyMap<string, JointMove> {
  const joints = new Map<string, JointMove>();
  for (const { move, together } of running) {
    if (!together || joints.has(move.vm)) continue;
    const joint = new JointMove(hosts, move.from, together, watching);
    for (const vm of together) joints.set(vm, joint);
    const over = together.filter((vm) => !running.some((each) => each.move.vm === vm));
    for (const vm of over) joint.ended(vm, hasArrived(vm));
  }
  return joints;
}

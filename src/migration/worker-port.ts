/**
 * A migration's thread, seen from inside: reports go out, orders come in.
 *
 * Owns: the messages across the thread's border. Must hold: an order is answered, also when it cannot be carried out.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import type { JoinPurpose } from '../wire/messages.ts';
import { dieAtFaultPoint } from './fault-points.ts';
import type { MigrationCommand } from './progress.ts';
import type { SourcePort } from './source-facts.ts';
import type { WorkerOrder, WorkerReport } from './worker-handle.ts';

/** What a thread is started with, before it is known what for. */
export interface ThreadData {
  /** Where to rehearse, until `needed[0]` is 1; null when there is no time for that. */
  readonly rehearsal: { readonly directory: string; readonly needed: Int32Array } | null;
}

export const { rehearsal: REHEARSAL }: ThreadData = workerData as ThreadData;

export interface WorkerOrders {
  command(command: MigrationCommand): Promise<void>;
  connection?(purpose: JoinPurpose, fd: number, peer: string): void;
}

export const WORKER_PORT: SourcePort = {
  emit: (event) => {
    report({ kind: 'event', event });
    if (event.kind === 'phaseChanged') dieAtFaultPoint('threadPhase');
  },
  settle: (settlement) => report({ kind: 'settled', settlement }),
  entrust: (fd) => {
    report({ kind: 'entrusted', fd });
    return () => report({ kind: 'givenBack', fd });
  },
};

/** From now on orders are obeyed; undo with the function returned, or the thread never ends. */
export function obeyOrders(orders: WorkerOrders): () => void {
  const obey = (order: WorkerOrder): void => {
    if (order.kind === 'connection') {
      report({ kind: 'taken', sequence: order.sequence });
      orders.connection?.(order.purpose, order.fd, order.peer);
      return;
    }
    const { sequence, command } = order;
    orders.command(command).then(
      () => report({ kind: 'answered', sequence, error: null }),
      (error: unknown) => report({ kind: 'answered', sequence, error: asGodwitError(error).toBody() }),
    );
  };
  parentPort!.on('message', obey);
  return () => {
    parentPort!.off('message', obey);
    parentPort!.unref();
  };
}

function report(message: WorkerReport): void {
  parentPort!.postMessage(message);
}

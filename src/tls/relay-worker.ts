/**
 * A thread that speaks TLS for the process: dials other hosts, hears them, and carries what goes through.
 *
 * Owns: every TLS connection of an order that it has taken. Must hold: no byte of either side passes before certificates are
 * verified; who is refused is told why, at both ends; it ends when it is told to.
 */
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import { watchReadable } from '../linux/poll.ts';
import { closeFd, receiveSome } from '../linux/socket.ts';
import { Credentials } from './credentials.ts';
import { dialTls } from './dialling.ts';
import { Reception } from './reception.ts';
import { MAX_ORDER_BYTES, type RelayOrder } from './relay-orders.ts';
import { RelayEntry } from './relay-table.ts';
import { type RelayInput, type RelayReport, STOP } from './relay-words.ts';
import { RelayedConnection } from './relayed-connection.ts';
import type { Secured } from './secured.ts';
import { tellRefusal } from './told-refusal.ts';

const { ordersFd, table, directory, hostName, names, allow } = workerData as RelayInput;
const room = new Uint8Array(MAX_ORDER_BYTES);
const connections = new Set<RelayedConnection>();
let isOver = false;

const credentials = new Credentials(directory, {
  onRenewed: (certificate) => report({ kind: 'renewed', certificate }),
  onUnusable: (error) => report({ kind: 'unusable', error: error.toBody() }),
});
const reception = new Reception({ by: hostName, allow });
const orders = watchReadable(ordersFd, takeOrder);
parentPort!.on('message', (word) => {
  if (word === STOP) stop();
});

/** One at a time: those that have come together go to threads that have nothing to do. */
function takeOrder(): void {
  const bytes = receiveSome(ordersFd, room);
  // Another thread may have been faster.
  if (bytes <= 0) return;
  const order = JSON.parse(Buffer.from(room.buffer, 0, bytes).toString()) as RelayOrder;
  if (order.kind === 'dial') void dial(order);
  else void accept(order);
}

async function dial(order: Extract<RelayOrder, { kind: 'dial' }>): Promise<void> {
  const { fd, host, port } = order;
  const wanted = names[`${host}:${port}`] ?? [host];
  try {
    const { context } = credentials.current();
    carry(order, await dialTls({ ...order, wanted, by: hostName, context }));
  } catch (error) {
    tellRefusal(new Socket({ fd, readable: true, writable: true }), asGodwitError(error));
  }
}

async function accept(order: Extract<RelayOrder, { kind: 'accept' }>): Promise<void> {
  const { fd, tcpFd, peer } = order;
  try {
    const { options } = credentials.current();
    carry(order, await reception.receive(tcpFd, peer, options));
  } catch (error) {
    closeFd(fd);
    report({ kind: 'refused', peer, error: asGodwitError(error).toBody() });
  }
}

function carry({ fd, inode }: RelayOrder, { socket, tcpFd }: Secured): void {
  const entry = new RelayEntry(table, BigInt(inode), tcpFd);
  const connection: RelayedConnection = new RelayedConnection(fd, socket, entry, () => connections.delete(connection));
  connections.add(connection);
  if (isOver) connection.destroy();
}

function stop(): void {
  isOver = true;
  orders[Symbol.dispose]();
  for (const connection of connections) connection.destroy();
  parentPort!.close();
}

function report(message: RelayReport): void {
  parentPort!.postMessage(message);
}

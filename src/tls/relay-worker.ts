/**
 * A thread that speaks TLS for the process: dials other hosts, hears them, and carries what goes through.
 *
 * Owns: every TLS connection of an order that it has taken. Must hold: no byte of either side passes before certificates are
 * verified; who is refused is told why, at both ends; whatever it was given belongs to a socket of Node's from the moment that the
 * order is taken, so that nothing stays open when the thread dies; it ends when it is told to.
 */
import type { Socket } from 'node:net';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { asGodwitError } from '../base/errors.ts';
import { watchReadable } from '../linux/poll.ts';
import { closeFd, receiveSome } from '../linux/socket.ts';
import { Credentials } from './credentials.ts';
import { dialTls } from './dialling.ts';
import { pinKey } from './pin-key.ts';
import { Reception } from './reception.ts';
import { MAX_ORDER_BYTES, type RelayOrder } from './relay-orders.ts';
import { RelayEntry } from './relay-table.ts';
import { type RelayInput, type RelayReport, STOP } from './relay-words.ts';
import { RelayedConnection, socketOwning } from './relayed-connection.ts';
import type { Secured } from './secured.ts';

type DialOrder = Extract<RelayOrder, { kind: 'dial' }>;
type AcceptOrder = Extract<RelayOrder, { kind: 'accept' }>;

/** For a stranger to begin, and for the handshake, together. */
const RECEPTION_TIMEOUT_MS = 5000;

const { ordersFd, table, directory, material, hostName, names, allow } = workerData as RelayInput;
const room = new Uint8Array(MAX_ORDER_BYTES);
const connections = new Set<RelayedConnection>();

const credentials = new Credentials(directory, material, {
  onRenewed: (renewed) => report({ kind: 'renewed', material: renewed }),
  onUnusable: (error) => report({ kind: 'unusable', error: error.toBody() }),
});
const reception = new Reception({ by: hostName, allow });
const orders = watchReadable(ordersFd, takeOrder);
parentPort!.on('message', (word) => {
  if (word === STOP) stop();
});

/** One at a time: those that have come together go to threads that have nothing to do. */
function takeOrder(): void {
  try {
    const bytes = receiveSome(ordersFd, room);
    // Another thread may have been faster.
    if (bytes <= 0) return;
    const order = JSON.parse(Buffer.from(room.buffer, 0, bytes).toString()) as RelayOrder;
    if (order.kind === 'dial') void dial(order, begin(order));
    else takeArrival(order);
  } catch (error) {
    // One order is not worth what the thread carries.
    report({ kind: 'refused', peer: 'an order', error: asGodwitError(error).toBody() });
  }
}

function begin({ fd }: RelayOrder): RelayedConnection {
  const connection: RelayedConnection = new RelayedConnection(fd, () => connections.delete(connection));
  connections.add(connection);
  return connection;
}

function takeArrival(order: AcceptOrder): void {
  let connection: RelayedConnection;
  try {
    connection = begin(order);
  } catch (error) {
    closeFd(order.tcpFd);
    throw error;
  }
  try {
    void accept(order, connection, socketOwning(order.tcpFd));
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function dial(order: DialOrder, connection: RelayedConnection): Promise<void> {
  const { host, port } = order;
  const wanted = names[pinKey(host, port)] ?? [host];
  try {
    const { context } = credentials.current();
    const { gone: signal } = connection;
    carry(order, connection, await dialTls({ ...order, wanted, by: hostName, context, signal }));
  } catch (error) {
    connection.refuse(asGodwitError(error));
  }
}

async function accept(order: AcceptOrder, connection: RelayedConnection, tcp: Socket): Promise<void> {
  const { tcpFd, peer } = order;
  const tooLong = `it has not shown who it is within ${RECEPTION_TIMEOUT_MS} ms`;
  const timer = setTimeout(() => connection.destroy(tooLong), RECEPTION_TIMEOUT_MS);
  connection.awaitEnd();
  try {
    const arrival = { tcp, tcpFd, peer, signal: connection.gone };
    carry(order, connection, await reception.receive(arrival, () => credentials.current().options));
  } catch (error) {
    // Not earlier: as long as somebody is told why, the place that he takes at the migration port is taken.
    connection.destroy();
    report({ kind: 'refused', peer, error: asGodwitError(error).toBody() });
  } finally {
    clearTimeout(timer);
  }
}

function carry({ inode }: RelayOrder, connection: RelayedConnection, { socket, tcpFd }: Secured): void {
  if (socket.destroyed || connection.gone.aborted) {
    socket.destroy();
    connection.destroy();
    return;
  }
  connection.carry(socket, new RelayEntry(table, { inode: BigInt(inode), thread: threadId, tcpFd }));
}

function stop(): void {
  orders[Symbol.dispose]();
  for (const connection of connections) connection.destroy();
  parentPort!.close();
}

function report(message: RelayReport): void {
  parentPort!.postMessage(message);
}

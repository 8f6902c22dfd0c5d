/**
 * The destination's main connection. It never dials: a lost connection comes back when the source has found us again.
 *
 * Owns: the connection of now and the bytes of the earlier ones. Must hold: its loss is told once; what is said while
 * there is none is forgotten, because the source asks again.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import type { Connection } from '../transfer/connection.ts';
import { encodeRunList } from '../wire/encoder.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { type FrameRoutes, routeFrames, sendControl } from './frame-router.ts';

export interface DestinationLinkPort extends FrameRoutes {
  readonly peer: string;
  /** A connection is about to be read. */
  onBegin(): void;
  onLost(reason: GodwitError): void;
  note(text: string): void;
}

export class DestinationLink {
  readonly #port: DestinationLinkPort;
  #connection: Connection | undefined;
  #earlierBytes = 0;

  constructor(port: DestinationLinkPort) {
    this.#port = port;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Sent and received on all main connections so far. */
  get bytes(): number {
    const now = this.#connection ? this.#connection.bytesSent + this.#connection.bytesReceived : 0;
    return this.#earlierBytes + now;
  }

  use(connection: Connection): void {
    this.#connection = connection;
    this.#port.onBegin();
    routeFrames(connection, this.#port);
    connection.closed
      .then((reason) => this.#lose(connection, reason))
      .catch((error: unknown) => this.#port.note(asGodwitError(error).message));
  }

  /** The source has dialled again: it does not use the old connection any more. */
  endReplaced(): void {
    const connection = this.#connection;
    if (!connection) return;
    const reason = new GodwitError('GW_WIRE_CLOSED', { peer: this.#port.peer, reason: 'another one replaced it' });
    connection.destroy(reason);
    this.#lose(connection, reason);
  }

  send(message: ControlMessage): void {
    if (this.#connection) sendControl(this.#connection, message);
  }

  sendStillMissing(runs: readonly PageRun[]): void {
    this.sendFrames(encodeRunList('stillMissing', runs));
  }

  /** Pages that were only named. A source that names none need not know what this is. */
  sendMissed(runs: readonly PageRun[]): void {
    if (runs.length > 0) this.sendFrames(encodeRunList('missedPages', runs));
  }

  sendFrames(frames: Iterable<Uint8Array>): void {
    const connection = this.#connection;
    if (!connection) return;
    for (const frame of frames) connection.send(frame).catch(() => connection.destroy());
  }

  drop(reason: GodwitError): void {
    this.#connection?.destroy(reason);
  }

  close(): void {
    this.#connection?.close();
  }

  #lose(connection: Connection, reason: GodwitError): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#earlierBytes += connection.bytesSent + connection.bytesReceived;
    this.#port.onLost(reason);
  }
}

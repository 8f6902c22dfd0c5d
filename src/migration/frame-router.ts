/**
 * From frames to events: the handler of one main connection.
 *
 * Owns: decoding control frames and keeping liveness (ping is answered here). Must hold: binary frames are handled
 * where they lie, before the next frame is looked at; control messages go on in order.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import type { Connection, ReceivedFrame } from '../transfer/connection.ts';
import { type FRAMES, type FrameName, frameName } from '../wire/frame-types.ts';
import { decodeControl, encodeControl, isControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';

/** A frame that is no control message. */
export type BinaryName = { [N in FrameName]: (typeof FRAMES)[N]['payload'] extends 'binary' ? N : never }[FrameName];

export interface FrameRoutes {
  control(message: ControlMessage): void;
  binary(name: BinaryName, payload: Uint8Array): void;
  /** What has come over the page channels, for who asks in a ping. */
  receivedBytes?(): number;
}

/** Starts reading the connection into the routes. */
export function routeFrames(connection: Connection, routes: FrameRoutes): void {
  connection.receive((frame: ReceivedFrame) => {
    if (!isControl(frame.type)) {
      routes.binary(frameName(frame.type) as BinaryName, frame.payload);
      return;
    }
    const message = decodeControl(frame.type, frame.payload);
    if (message.kind === 'ping') {
      const receivedWallMs = SYSTEM_CLOCK.wallMs();
      const { token, wallMs, asksReceived } = message;
      const received = asksReceived && routes.receivedBytes ? { receivedBytes: routes.receivedBytes() } : {};
      sendControl(connection, { kind: 'pong', token, wallMs, receivedWallMs, ...received });
      return;
    }
    routes.control(message);
  });
}

/** Sends a message; a connection that is lost says so by `closed`, not here. */
export function sendControl(connection: Connection, message: ControlMessage): void {
  connection.send(encodeControl(message)).catch(() => connection.destroy());
}

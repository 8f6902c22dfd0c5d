/**
 * One connection between two hosts: frames in both directions.
 *
 * Owns: the interface that hides what a connection is made of (TCP, or a socket that leads to the relay, which speaks TLS), and the
 * framing over any Node stream socket.
 * Must hold: frames come out in the order they went in; a frame handler runs to its end before the next frame is
 * looked at; the first error closes the connection and is what `closed` tells.
 */
import { GodwitError } from '../base/errors.ts';
import type { FrameType } from '../wire/frame-types.ts';

/** A frame as it arrived. `payload` is only valid until the handler returns. */
export interface ReceivedFrame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

export type FrameHandler = (frame: ReceivedFrame) => void;

export interface Connection {
  /** Address of the other host, for messages. */
  readonly peer: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes handed to `send` that the kernel has not taken yet. */
  readonly queuedBytes: number;
  /** Bytes that were sent and that the other host's kernel has not acknowledged. */
  readonly unacknowledgedBytes: number;
  /**
   * Sends the parts as one write. Resolves when the kernel has taken them all: only then may the buffers change.
   * Rejects with the error of `closed`.
   */
  send(...parts: readonly Uint8Array[]): Promise<void>;
  /** Starts reading; a handler that throws closes the connection with that error. */
  receive(handler: FrameHandler): void;
  /** Resolves, never rejects, when the connection is closed, with the reason. */
  readonly closed: Promise<GodwitError>;
  readonly isClosed: boolean;
  /** Closes after what was sent has left. Idempotent. */
  close(): void;
  /** Closes at once. Idempotent. */
  destroy(reason?: GodwitError): void;
}

/** What `closed` tells when nobody did anything wrong. */
export function closedBy(peer: string, reason: string): GodwitError {
  return new GodwitError('GW_WIRE_CLOSED', { peer, reason });
}

/** Of a socket's error: its code, if it has one. */
export function errorName(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

/**
 * A refusal, said in the words of the migration protocol to whoever waits for an answer to `hello`.
 *
 * Must hold: who is still talking is listened to for a moment, or the end of the connection would overtake what it is told.
 */
import type { Socket } from 'node:net';
import type { GodwitError } from '../base/errors.ts';
import { PREFACE } from '../wire/encoder.ts';
import { encodeControl } from '../wire/message-codec.ts';
import { toWireError } from '../wire/message-fields.ts';

const LINGER_MS = 1000;

/**
 * @param socket - is ended by this, whatever the other side does
 * @returns when it is closed
 */
export function tellRefusal(socket: Socket, error: GodwitError): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    clearTimeout(timer);
    resolve();
  });
  socket.resume();
  socket.write(PREFACE);
  socket.end(encodeControl({ kind: 'refused', error: toWireError(error) }));
  return promise;
}

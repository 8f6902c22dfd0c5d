/**
 * The device state on its way from QEMU to the destination (V4).
 *
 * Owns: one save, by which the VM is stopped. Must hold: `stopped` is said before QEMU writes any device's state. What the
 * destination gets before that word it may load at once, because loading it reads no guest memory.
 */
import type { DeviceStateSave } from '../qemu/device-state-save.ts';
import type { Connection } from '../transfer/connection.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { encodeChunkHeader } from '../wire/encoder.ts';
import { MAX_STATE_CHUNK } from '../wire/limits.ts';
import { encodeControl } from '../wire/message-codec.ts';

export class StateSender {
  /** All of it was handed to the connection; how much it was, in bytes. */
  readonly sent: Promise<number>;
  readonly #save: DeviceStateSave;
  readonly #connection: Connection;
  readonly #pacer: Pacer;

  /** QEMU begins at once. */
  constructor(save: DeviceStateSave, connection: Connection, pacer: Pacer) {
    this.#save = save;
    this.#connection = connection;
    this.#pacer = pacer;
    this.sent = this.#send();
    // If something else fails first, nobody hears of it.
    this.sent.catch(() => undefined);
  }

  /** QEMU is about to stop the VM; never, if it does not get there. */
  get stopping(): Promise<void> {
    return this.#save.stopping;
  }

  /** When the VM stopped, by QEMU's own event; undefined for one that did not run. */
  async stopped(): Promise<number | undefined> {
    return (await this.#save.stopped).stoppedAtMs;
  }

  /** The state of the devices follows. */
  async proceed(): Promise<void> {
    const told = this.#connection.send(encodeControl({ kind: 'stopped' }));
    await Promise.all([told, this.#save.proceed()]);
  }

  async #send(): Promise<number> {
    for await (const chunk of this.#save.chunks) {
      for (let at = 0; at < chunk.length; at += MAX_STATE_CHUNK) {
        const part = chunk.subarray(at, at + MAX_STATE_CHUNK);
        this.#pacer.charge(part.length);
        await this.#connection.send(encodeChunkHeader('stateChunk', part.length), part);
      }
    }
    return (await this.#save.done).bytes;
  }
}

/**
 * What becomes of the migration when something of the VM that arrives cannot be put in its place.
 *
 * Must hold: what breaks the protocol ends the connection, and so does what comes too late for giving up; everything else
 * is told to the handover, once, and what comes afterwards is of no use; only the end of QEMU is the loss of the VM.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { isEnding } from '../qemu/process.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { BinaryName } from './frame-router.ts';

export class ArrivalFailures {
  readonly #parts: DestinationParts;
  #isFailing = false;

  constructor(parts: DestinationParts) {
    this.#parts = parts;
  }

  /** A frame of the main connection. @throws what ends the connection */
  take(name: BinaryName, payload: Uint8Array): void {
    if (this.#isFailing) return;
    try {
      this.#parts.receiver.take(name, payload);
    } catch (thrown) {
      const error = asGodwitError(thrown);
      if (!this.#mayFail(error)) throw error;
      this.tell(error);
    }
  }

  /** A page channel's. */
  tell(error: GodwitError): void {
    const { events, link } = this.#parts;
    if (!this.#mayFail(error)) {
      link.drop(error);
    } else if (!this.#isFailing) {
      this.#isFailing = true;
      events.post({ kind: 'failed', error: error.toBody() });
    }
  }

  /**
   * Faults are not answered any more. What is missing stays missing inside QEMU for whoever comes next; where giving up is too
   * late that is a thread that begins where the journal ends.
   */
  async pagerFailed(error: GodwitError, { record, identity }: DestinationGuest): Promise<void> {
    const { events, note } = this.#parts;
    note(`Faults are not answered any more: ${error.message}`);
    if (await isEnding(identity)) {
      const lost = new GodwitError('GW_QEMU_GONE', { vm: record.name, reason: 'its memory is gone' });
      events.post({ kind: 'guestLost', error: lost.toBody() });
    } else if (this.#mayFail(error)) events.post({ kind: 'failed', error: error.toBody() });
    else events.close(error);
  }

  #mayFail({ code }: GodwitError): boolean {
    return !code.startsWith('GW_WIRE_') && ['waiting', 'receiving'].includes(this.#parts.phase());
  }
}

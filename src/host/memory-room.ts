/** The refusal of a VM whose RAM does not fit on this host. */
import { GodwitError } from '../base/errors.ts';
import { findShortages, type RoomQuestion } from '../linux/memory-room.ts';

/** The error to refuse with, or undefined when there is room now. */
export function lackOfRoom(question: RoomQuestion, host: string): GodwitError | undefined {
  const [shortage] = findShortages(question);
  return shortage && new GodwitError('GW_SYS_NO_ROOM', { ...shortage, host });
}

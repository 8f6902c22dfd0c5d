/**
 * Questions that not every QEMU knows.
 */
import { hasCode, type JsonValue } from '../base/errors.ts';
import type { QmpClient } from './qmp.ts';

/** undefined when this QEMU does not know the question, or it makes no sense for this VM. */
export async function askQemu<T>(
  qmp: QmpClient,
  command: string,
  args?: Record<string, JsonValue>,
): Promise<T | undefined> {
  try {
    return await qmp.execute<T>(command, args);
  } catch (error) {
    if (hasCode(error, 'GW_QMP_ERROR')) return undefined;
    throw error;
  }
}

/**
 * The tiny guest's part in the sharing workload, read from outside.
 *
 * Owns: nothing; works on a VM's private memory, as control.ts does and with the same warning.
 */
import { SHARING_ERRORS, type SharingError, type SharingMember } from '../sharing/coherence.ts';
import { REGION_PAGE_BYTES } from '../sharing/region-layout.ts';
import type { ByteMemory } from './control.ts';
import {
  BAR_ADDRESS,
  COUNTS_ADDRESS,
  COUNTS_ENTRY_BYTES,
  SHARING,
  SHARING_ADDRESS,
  SHARING_BYTES,
  SharingState,
} from './sharing-layout.ts';

export interface TinySharingView extends SharingMember {
  /** It has found its device and placed the BAR. Throws when there is none. */
  readonly working: boolean;
  /** Of the device's BAR. */
  readonly regionBytes: number;
  /** Of all counters, not wrapping. */
  readonly increments: number;
}

/** May be read while the guest runs; for `checkCoherence` it must be stopped. */
export function readTinySharing(memory: ByteMemory): TinySharingView {
  const bytes = new Uint8Array(SHARING_BYTES);
  memory.read(SHARING_ADDRESS, bytes);
  const view = new DataView(bytes.buffer);
  const get = (field: keyof typeof SHARING): number => view.getUint32(SHARING[field], true);
  if (get('state') === SharingState.noDevice) throw new Error('The tiny guest has found no ivshmem device on bus 0');
  const pending = get('pendingCounter');
  return {
    working: get('state') === SharingState.working,
    regionBytes: get('regionBytes'),
    member: get('member'),
    memberCount: get('memberCount'),
    counts: readCounts(memory, get('counterPages')),
    pendingCounter: pending === 0 ? undefined : pending - 1,
    produced: get('produced'),
    consumed: get('consumed'),
    ownWrites: get('ownWrites'),
    errors: get('errors'),
    firstError: get('errorKind') === 0 ? undefined : readError(get),
    increments: Number(view.getBigUint64(SHARING.increments, true)),
  };
}

function readError(get: (field: keyof typeof SHARING) => number): SharingError {
  return {
    kind: SHARING_ERRORS[get('errorKind')] ?? SHARING_ERRORS[0],
    page: Math.floor((get('errorAddress') - BAR_ADDRESS) / REGION_PAGE_BYTES),
    found: get('errorFound'),
    expected: get('errorExpected'),
  };
}

/** Every second number. */
function readCounts(memory: ByteMemory, counterPages: number): Uint32Array {
  const pairs = new Uint32Array((counterPages * COUNTS_ENTRY_BYTES) / 4);
  memory.read(COUNTS_ADDRESS, new Uint8Array(pairs.buffer));
  return pairs.filter((_, index) => index % 2 === 0);
}

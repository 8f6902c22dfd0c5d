/**
 * The keys under which pages have fingerprints, and how two hosts find out that they have one in common.
 *
 * Owns: what is made of a fleet's key, and a VM's own key. Must hold: fingerprints under the fleet's key are of use to
 * all hosts that have it, so that contents of one VM may serve another; those under a VM's key to whom the VM came
 * with its key, so that only its own earlier visits do. Nobody learns a key from its name.
 */
import { hash, randomBytes } from 'node:crypto';
import { FINGERPRINT_KEY_BYTES } from '../memory/page-fingerprint.ts';

const HEX_KEY = /^[0-9a-f]{64}$/;
/** A feature's name has at most 32 characters; 104 bits of the hash. */
const FEATURE_HASH_LENGTH = 26;

/** A feature of the protocol that only hosts with the same key have in common. */
export function fleetFeature(fleetKey: string): string {
  return `fleet-${hash('sha256', `godwit fleet name\n${fleetKey}`).slice(0, FEATURE_HASH_LENGTH)}`;
}

/** For a VM that has none yet: it moves for the first time. Hexadecimal. */
export function newVmKey(): string {
  return randomBytes(FINGERPRINT_KEY_BYTES).toString('hex');
}

/** undefined: what a peer says is none. */
export function parseKey(text: unknown): Buffer | undefined {
  return typeof text === 'string' && HEX_KEY.test(text) ? Buffer.from(text, 'hex') : undefined;
}

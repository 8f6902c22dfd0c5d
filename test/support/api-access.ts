/** Who may call the API of a test's server. */
import type { AccessPolicy } from '../../src/api/access.ts';
import { RIGHTS, type Right } from '../../src/api/right.ts';

/** @param token - which has these rights, and without which nobody is answered; null: nobody needs one */
export function accessWith(token: string | null, rights: readonly Right[] = RIGHTS): AccessPolicy {
  return {
    holderOf: (given) => (given === token ? { name: 'test', rights } : undefined),
    onChanged: () => undefined,
    localCaller: () => (token === null ? { kind: 'loopback' } : undefined),
  };
}

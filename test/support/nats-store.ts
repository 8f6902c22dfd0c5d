/** The store on a real nats-server. */
import { hasCode } from '../../src/base/errors.ts';
import { NatsStore } from '../../src/controller/nats-store.ts';
import type { NatsServer } from './nats-server.ts';

/** As a controller of the default fleet does. */
export function openStore({ url }: NatsServer, token: string | null = null): Promise<NatsStore> {
  return NatsStore.open({ servers: [url], credentials: null, token, replicas: 1, prefix: 'godwit' });
}

/** For `catch`, while the server may be silent; any other error is thrown again. */
export function unlessSilent(error: unknown): undefined {
  if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
}

/** A connection to NATS that, once it was there, is made again for ever. */
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import type { NatsAccess } from './nats-access.ts';
import { AGAIN_MS, guard } from './nats-answers.ts';

const CONNECT_MS = 10_000;

/** @param name - as the server shows it @throws GW_STORE_UNAVAILABLE */
export function connectNats({ servers, credentials, token }: NatsAccess, name: string): Promise<NatsConnection> {
  return guard(
    connect({
      servers: [...servers],
      name,
      timeout: CONNECT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: AGAIN_MS,
      // Credentials that are put right at the server are tried again.
      ignoreAuthErrorAbort: true,
      ...(credentials === null ? {} : { authenticator: credsAuthenticator(credentials) }),
      ...(token === null ? {} : { token }),
    }),
  );
}

/**
 * How NATS is reached, as controllers and hosts are told.
 *
 * Owns: limits of these settings. Must hold: a wrong value is refused with field, value and fix.
 */
import { readSecret, readTextFile } from '../api/text-file.ts';
import { GodwitError } from '../base/errors.ts';

export interface NatsAccess {
  /** `nats://HOST:PORT`, or several. */
  readonly servers: readonly string[];
  /** Contents of a credentials file; null: none. */
  readonly credentials: Uint8Array | null;
  readonly token: string | null;
  /** Of the names of bucket, streams and subjects: fleets that share a NATS have different ones. */
  readonly prefix: string;
}

export interface NatsSettings {
  readonly servers: readonly string[];
  readonly credentialsFile: string | undefined;
  readonly tokenFile: string | undefined;
  readonly prefix: string | undefined;
}

const PREFIX = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * @param fields - what each setting is called
 * @throws GW_INPUT_INVALID, GW_INPUT_UNREADABLE
 */
export function readNatsAccess(
  { servers, credentialsFile, tokenFile, prefix = 'godwit' }: NatsSettings,
  fields: Readonly<Record<keyof NatsSettings, string>>,
): NatsAccess {
  for (const server of servers) {
    if (!/^(nats|tls):\/\/[^/]+$/.test(server))
      throw invalid(fields.servers, server, 'give nats://HOST:PORT or tls://HOST:PORT');
  }
  if (!PREFIX.test(prefix)) throw invalid(fields.prefix, prefix, 'give letters, digits, _ and -');
  return {
    servers,
    credentials: credentialsFile === undefined ? null : Buffer.from(readTextFile(credentialsFile)),
    token:
      tokenFile === undefined
        ? null
        : readSecret({ field: fields.tokenFile, path: tokenFile, fix: 'put the token into the file' }),
    prefix,
  };
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

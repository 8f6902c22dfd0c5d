/**
 * Configuration of `godwit controller`.
 *
 * Owns: defaults and limits of every setting. Must hold: an address that other machines can reach needs a token; a wrong value is refused
 * with field, value and fix.
 */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseInput } from '../api/input-error.ts';
import { isLoopback, type ListenAddress, PRIVATE_MODE, parseListenAddress } from '../api/listen.ts';
import { readSecret } from '../api/text-file.ts';
import { LEAST_TOKEN_CHARACTERS } from '../api/tokens-file.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { readNatsAccess } from '../nats/nats-access.ts';
import { type FleetFile, readFleetFile } from './fleet-file.ts';
import type { NatsOptions } from './nats-store.ts';

/** As they are typed. */
export interface ControllerFlags {
  readonly fleet: string;
  readonly name?: string;
  readonly listen?: readonly string[];
  readonly state: string;
  readonly tokenFile?: string;
  readonly tokensFile?: string;
  readonly auditLog?: string;
  readonly nats?: readonly string[];
  readonly natsCredentials?: string;
  readonly natsTokenFile?: string;
  readonly natsPrefix?: string;
  readonly natsReplicas?: number;
}

export interface ControllerConfig {
  readonly name: string;
  readonly file: FleetFile;
  readonly listen: readonly ListenAddress[];
  readonly stateDirectory: string;
  /** Of unix sockets. */
  readonly listenMode: number;
  readonly token: string | null;
  readonly tokensFile: string | null;
  /** null: the ordinary log. */
  readonly auditLog: string | null;
  /** null: the store is a file in the state directory. */
  readonly nats: NatsOptions | null;
}

const TOKEN_FIX = 'put the token into the file';

/** @param token - from the environment; a token file wins @throws GW_INPUT_INVALID, GW_INPUT_UNREADABLE */
export function resolveController(flags: ControllerFlags, token: string | undefined): ControllerConfig {
  const listen = (flags.listen ?? ['127.0.0.1:7720']).map((address) => parseListenAddress(address, '--listen'));
  const given =
    flags.tokenFile === undefined
      ? token
      : readSecret({ field: '--token-file', path: flags.tokenFile, fix: TOKEN_FIX });
  if (given !== undefined && given.length < LEAST_TOKEN_CHARACTERS) {
    const fix = `give a token of at least ${LEAST_TOKEN_CHARACTERS} characters`;
    throw invalid('--token-file', flags.tokenFile ?? 'GODWIT_TOKEN', fix);
  }
  const open = listen.find((address) => address.kind === 'tcp' && !isLoopback(address.host));
  if (open?.kind === 'tcp' && given === undefined && flags.tokensFile === undefined) {
    const fix = 'add --token-file FILE or --tokens-file FILE, or listen on a loopback address or unix:/path';
    throw invalid('--listen', `${open.host}:${open.port}`, fix);
  }
  const file = readFleetFile(flags.fleet);
  if (file.register !== null && flags.nats === undefined) {
    const fix = 'add --nats, where hosts register: a store in a file has no place for them. Or take `register` out';
    throw invalid('register', flags.fleet, fix);
  }
  return {
    name: parseInput(NameSchema, flags.name ?? hostname().split('.')[0], '--name'),
    file,
    listen,
    stateDirectory: resolve(flags.state),
    listenMode: PRIVATE_MODE,
    token: given ?? null,
    tokensFile: flags.tokensFile === undefined ? null : resolve(flags.tokensFile),
    auditLog: flags.auditLog === undefined ? null : resolve(flags.auditLog),
    nats: flags.nats === undefined ? null : natsOf(flags, flags.nats),
  };
}

function natsOf(flags: ControllerFlags, servers: readonly string[]): NatsOptions {
  const { natsCredentials, natsTokenFile, natsPrefix, natsReplicas: replicas = 1 } = flags;
  const fields = {
    servers: '--nats',
    credentialsFile: '--nats-credentials',
    tokenFile: '--nats-token-file',
    prefix: '--nats-prefix',
  };
  const access = readNatsAccess(
    { servers, credentialsFile: natsCredentials, tokenFile: natsTokenFile, prefix: natsPrefix },
    fields,
  );
  if (![1, 3, 5].includes(replicas)) throw invalid('--nats-replicas', String(replicas), 'give 1, 3 or 5');
  return { ...access, replicas };
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

/**
 * The host daemon's configuration: defaults, the YAML file, the command line on top.
 *
 * Owns: defaults, and what settings mean together; config-schema.ts has what each may be. Must hold: a wrong value is refused
 * before anything is opened; nothing that other machines can reach is opened without being asked for.
 */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { readFleetKey } from '../api/fleet-key.ts';
import { parseInput } from '../api/input-error.ts';
import { isLoopback, type ListenAddress, PRIVATE_MODE, parseHostPort, parseListenAddress } from '../api/listen.ts';
import { readSecret, readTextFile } from '../api/text-file.ts';
import { LEAST_TOKEN_CHARACTERS } from '../api/tokens-file.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { parseYaml } from '../api/yaml-file.ts';
import { GodwitError } from '../base/errors.ts';
import { HISTORY_MS } from '../migration/history.ts';
import { HostConfigSchema, type HostSettings } from './config-schema.ts';
import { type RegistrationConfig, resolveRegistration } from './registration.ts';

// Each has threads and buffers of its own, and all share one link: beyond a few they only make each other later.
const DEFAULT_MAX_INCOMING = 8;

export interface HostConfig {
  readonly name: string;
  readonly listen: readonly ListenAddress[];
  readonly migration: { readonly host: string; readonly port: number };
  /** null: the migration port speaks no TLS. */
  readonly tls: { readonly directory: string; readonly allow: readonly string[] | undefined } | null;
  readonly stateDirectory: string;
  /** Of unix sockets of the API. */
  readonly listenMode: number;
  readonly token: string | null;
  readonly tokensFile: string | null;
  /** null: the ordinary log. */
  readonly auditLog: string | null;
  readonly peers: Readonly<Record<string, string>>;
  /** 0 = unlimited. */
  readonly bandwidthBytesPerSecond: number;
  /** null: none is set. */
  readonly dscp: number | null;
  readonly maxIncomingMigrations: number;
  readonly allowedNetworkScripts: readonly string[];
  /** null: at the paths that they have at their source. */
  readonly images: string | null;
  readonly keepReports: number;
  readonly keepVisitsBytes: number;
  /** 0 = never. */
  readonly sampleEveryMs: number;
  readonly keepHistoryMs: number;
  /** Threads for the next migration are kept ready. */
  readonly keepsSpareThreads: boolean;
  /** Hexadecimal. */
  readonly fleetKey: string | null;
  /** null: the host does not register. */
  readonly registration: RegistrationConfig | null;
  /** Paths of programs. */
  readonly hooks: NonNullable<HostSettings['hooks']>;
  readonly hookTimeoutMs: number;
  readonly logLevel: string;
  readonly logFormat: 'pretty' | 'json';
}

/** Reads a YAML config file. Throws GW_INPUT_UNREADABLE or GW_INPUT_INVALID. */
export function readConfigFile(path: string): HostSettings {
  return parseInput(HostConfigSchema, parseYaml(readTextFile(path), path) ?? {});
}

/**
 * Settings on top of the defaults, checked together.
 *
 * @param settings - file and command line already merged
 * @param token - from the environment; a token file wins
 */
export function resolveConfig(settings: HostSettings, environment: { token?: string; terminal: boolean }): HostConfig {
  const listenTexts = typeof settings.listen === 'string' ? [settings.listen] : (settings.listen ?? ['127.0.0.1:7700']);
  const listen = listenTexts.map((address) => parseListenAddress(address, 'listen'));
  const migrationText = settings.migrationListen ?? '127.0.0.1:7710';
  const migration = parseHostPort(migrationText, 'migrationListen');
  const token = settings.tokenFile === undefined ? checkToken(environment.token) : readToken(settings.tokenFile);
  for (const [peer, address] of Object.entries(settings.peers ?? {})) parseHostPort(address, `peers.${peer}`);
  if (settings.tls === undefined && settings.tlsAllow !== undefined) {
    throw invalid('tlsAllow', settings.tlsAllow.join(', '), 'add `tls`: without certificates nobody knows who sends');
  }
  if (!isLoopback(migration.host) && settings.tls === undefined && settings.insecureMigration !== true) {
    throw invalid(
      'migrationListen',
      migrationText,
      'add --tls DIR (godwit tls init makes the certificates), listen on a loopback address, or add --insecure-migration ' +
        '(insecureMigration: true) if everybody who can reach the port may read and replace VMs',
    );
  }
  const open = listen.find((address) => address.kind === 'tcp' && !isLoopback(address.host));
  if (open?.kind === 'tcp' && token === null && settings.tokensFile === undefined) {
    throw invalid(
      'listen',
      `${open.host}:${open.port}`,
      'add --token-file FILE or --tokens-file FILE, or listen on a loopback address or unix:/path',
    );
  }
  const name = settings.name ?? parseInput(NameSchema, hostname().split('.')[0], 'name');
  return {
    name,
    listen,
    migration,
    tls: settings.tls === undefined ? null : { directory: resolve(settings.tls), allow: settings.tlsAllow },
    stateDirectory: resolve(settings.state ?? '/var/lib/godwit'),
    listenMode: Number.parseInt(settings.listenMode ?? PRIVATE_MODE.toString(8), 8),
    token,
    tokensFile: settings.tokensFile === undefined ? null : resolve(settings.tokensFile),
    auditLog: settings.auditLog === undefined ? null : resolve(settings.auditLog),
    peers: settings.peers ?? {},
    bandwidthBytesPerSecond: settings.bandwidth ?? 0,
    dscp: settings.dscp ?? null,
    maxIncomingMigrations: settings.maxIncomingMigrations ?? DEFAULT_MAX_INCOMING,
    allowedNetworkScripts: settings.allowedNetworkScripts ?? [],
    images: settings.images ?? null,
    keepReports: settings.keepReports ?? 500,
    keepVisitsBytes: settings.keepVisits ?? 0,
    sampleEveryMs: settings.sampleEvery ?? 60_000,
    keepHistoryMs: settings.keepHistory ?? HISTORY_MS,
    keepsSpareThreads: settings.spareThreads !== 'off',
    fleetKey: settings.fleetKeyFile === undefined ? null : readFleetKey('fleetKeyFile', settings.fleetKeyFile),
    registration: resolveRegistration(settings, { name, listen, migration }),
    hooks: settings.hooks ?? {},
    hookTimeoutMs: settings.hookTimeout ?? 30_000,
    logLevel: settings.logLevel ?? 'info',
    logFormat: settings.logFormat ?? (environment.terminal ? 'pretty' : 'json'),
  };
}

function checkToken(token = ''): string | null {
  if (token === '') return null;
  if (token.length >= LEAST_TOKEN_CHARACTERS) return token;
  const fix = `give at least ${LEAST_TOKEN_CHARACTERS} characters, such as \`openssl rand -hex 32\``;
  throw invalid('GODWIT_TOKEN', `(${token.length} characters)`, fix);
}

function readToken(path: string): string {
  const fix = 'put a token of at least 16 characters into the file, such as `openssl rand -hex 32`';
  return readSecret({ field: 'tokenFile', path, fix, leastCharacters: LEAST_TOKEN_CHARACTERS });
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

/**
 * TLS of the migration port, as this host is configured.
 *
 * Owns: what the log says of certificates and of who was sent away. Must hold: strangers do not fill the log; that a certificate is
 * going to expire is said in time (certificate-age.ts).
 */
import { parseHostPort } from '../api/listen.ts';
import { explain, fixOf, type GodwitError } from '../base/errors.ts';
import { pinKey } from '../tls/pin-key.ts';
import { TlsRelay } from '../tls/relay.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { type CertificateFacts, readTlsDirectory } from '../tls/tls-directory.ts';
import { CertificateAge } from './certificate-age.ts';
import type { HostConfig } from './config.ts';
import type { Logger } from './logger.ts';

/** The same of the same host is told again after this time. */
const TOLD_AGAIN_MS = 60_000;
/** Of hosts that were sent away lately. */
const MAX_TOLD = 256;

/** Certificates end on a second, and clocks of hosts are set; an hour is nothing beside the days that are told. */
const LOOK_MS = 3_600_000;

/** undefined: none is configured. @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID where its files cannot serve */
export function openHostTls(config: HostConfig, log: Logger): HostTls | undefined {
  const { tls, name, peers } = config;
  return tls === null ? undefined : new HostTls(tls, name, namesByAddress(peers), log);
}

export class HostTls implements AsyncDisposable {
  readonly #relay: TlsRelay;
  readonly #directory: string;
  readonly #log: Logger;
  readonly #age = new CertificateAge();
  readonly #looking: NodeJS.Timeout;

  constructor(
    tls: NonNullable<HostConfig['tls']>,
    hostName: string,
    names: Readonly<Record<string, readonly string[]>>,
    log: Logger,
  ) {
    const told = new Map<string, number>();
    this.#log = log;
    this.#directory = tls.directory;
    this.#relay = new TlsRelay({
      ...tls,
      ...{ hostName, names },
      onRenewed: (certificate) => {
        log.info(shown(certificate), 'the migration port shows another certificate from now on');
        this.#warnOfAge(certificate);
      },
      onUnusable: (error) =>
        log.error(
          { reason: explain(error), fix: fixOf(error) },
          'the TLS files have changed and cannot be used; the old stay',
        ),
      onRefused: (peer, error) => {
        if (isNew(told, `${error.code} ${peer.slice(0, peer.lastIndexOf(':'))}`, Date.now())) warnOfRefusal(error, log);
      },
      onDied: (error) =>
        log.error({ reason: explain(error) }, 'a thread that speaks TLS has died; another one follows'),
    });
    this.#warnOfAge(this.certificate);
    this.#looking = setInterval(() => this.#warnOfAge(this.#newest()), LOOK_MS).unref();
  }

  /** For the threads of migrations. */
  get port(): RelayPort {
    return this.#relay.port;
  }

  /** That this host shows. */
  get certificate(): CertificateFacts {
    return this.#relay.certificate;
  }

  [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#looking);
    return this.#relay[Symbol.asyncDispose]();
  }

  /** The next connection's. */
  #newest(): CertificateFacts {
    try {
      return readTlsDirectory(this.#directory).facts;
    } catch {
      // The relay says so when it needs them; until then those that it has are shown.
      return this.certificate;
    }
  }

  #warnOfAge(certificate: CertificateFacts): void {
    const warning = this.#age.warningOf(certificate, Date.now());
    if (warning !== undefined) this.#log.warn(shown(certificate), warning);
  }
}

/** By `pinKey`; the certificate of who answers there must be for one of the names. */
function namesByAddress(peers: Readonly<Record<string, string>>): Record<string, string[]> {
  const names: Record<string, string[]> = {};
  for (const [name, address] of Object.entries(peers)) {
    const { host, port } = parseHostPort(address, `peers.${name}`);
    const key = pinKey(host, port);
    names[key] = [...(names[key] ?? []), name];
  }
  return names;
}

function isNew(told: Map<string, number>, what: string, nowMs: number): boolean {
  const lastMs = told.get(what);
  if (lastMs !== undefined && nowMs - lastMs < TOLD_AGAIN_MS) return false;
  if (told.size >= MAX_TOLD) told.clear();
  told.set(what, nowMs);
  return true;
}

function warnOfRefusal(error: GodwitError, log: Logger): void {
  log.warn({ code: error.code, fix: fixOf(error) }, `sent away at the migration port: ${explain(error)}`);
}

function shown({ names, notAfterMs }: CertificateFacts): { names: readonly string[]; until: string } {
  return { names, until: new Date(notAfterMs).toISOString() };
}

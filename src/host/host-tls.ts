/**
 * TLS of the migration port, as this host is configured.
 *
 * Owns: what the log says of certificates and of who was sent away. Must hold: strangers do not fill the log.
 */
import { parseHostPort } from '../api/listen.ts';
import { explain, fixOf, type GodwitError } from '../base/errors.ts';
import { TlsRelay } from '../tls/relay.ts';
import type { CertificateFacts } from '../tls/tls-directory.ts';
import type { HostConfig } from './config.ts';
import type { Logger } from './logger.ts';

/** The same of the same host is told again after this time. */
const TOLD_AGAIN_MS = 60_000;
/** Of hosts that were sent away lately. */
const MAX_TOLD = 256;

/** undefined: none is configured. @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID where its files cannot serve */
export function openHostTls(config: HostConfig, log: Logger): TlsRelay | undefined {
  const { tls, name: hostName, peers } = config;
  if (tls === null) return undefined;
  const told = new Map<string, number>();
  const relay = new TlsRelay({
    ...tls,
    hostName,
    names: namesByAddress(peers),
    onRenewed: (certificate) => {
      log.info(shown(certificate), 'the migration port shows another certificate from now on');
      warnOfAge(certificate, log);
    },
    onUnusable: (error) =>
      log.error(
        { reason: explain(error), fix: fixOf(error) },
        'the TLS files have changed and cannot be used; the old stay',
      ),
    onRefused: (peer, error) => {
      if (isNew(told, `${error.code} ${peer.slice(0, peer.lastIndexOf(':'))}`, Date.now())) warnOfRefusal(error, log);
    },
    onDied: (error) => log.error({ reason: explain(error) }, 'a thread that speaks TLS has died; another one follows'),
  });
  warnOfAge(relay.certificate, log);
  return relay;
}

/** By HOST:PORT; the certificate of who answers there must be for one of the names. */
function namesByAddress(peers: Readonly<Record<string, string>>): Record<string, string[]> {
  const names: Record<string, string[]> = {};
  for (const [name, address] of Object.entries(peers)) {
    const { host, port } = parseHostPort(address, `peers.${name}`);
    const key = `${host}:${port}`;
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

function warnOfAge(certificate: CertificateFacts, log: Logger): void {
  if (certificate.notAfterMs > Date.now()) return;
  log.warn(shown(certificate), 'the certificate of this host has expired: others will refuse it');
}

function shown({ names, notAfterMs }: CertificateFacts): { names: readonly string[]; until: string } {
  return { names, until: new Date(notAfterMs).toISOString() };
}

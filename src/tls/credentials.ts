/**
 * What this host shows and trusts, renewed while it is in use.
 *
 * Owns: the newest files that could be used. Must hold: files are looked at for each connection, so that a renewal needs no
 * restart; files that cannot be used, such as half of a new pair, are told once and the old ones stay.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import { type CertificateFacts, readTlsDirectory, TLS_FILES } from './tls-directory.ts';

export interface CredentialsPort {
  /** Others serve from now on. */
  onRenewed(facts: CertificateFacts): void;
  /** There are others, which cannot serve. */
  onUnusable(error: GodwitError): void;
}

interface Loaded {
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
}

export class Credentials {
  readonly #directory: string;
  readonly #port: CredentialsPort;
  #seen: string;
  #loaded: Loaded;

  /** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
  constructor(directory: string, port: CredentialsPort) {
    this.#directory = directory;
    this.#port = port;
    this.#seen = this.#look();
    this.#loaded = this.#load();
  }

  /** @returns the same object as long as the files are the same */
  current(): Loaded {
    const seen = this.#look();
    if (seen !== this.#seen) {
      this.#seen = seen;
      try {
        this.#loaded = this.#load();
      } catch (error) {
        this.#port.onUnusable(asGodwitError(error));
      }
    }
    return this.#loaded;
  }

  #load(): Loaded {
    const { ca, certificate, key, facts } = readTlsDirectory(this.#directory);
    const options = { ca, cert: certificate, key, minVersion: 'TLSv1.3' } as const;
    const loaded = { options, context: createSecureContext(options) };
    this.#port.onRenewed(facts);
    return loaded;
  }

  /** Differs where a file was written, replaced or removed. */
  #look(): string {
    return TLS_FILES.map((name) => {
      const stat = statSync(join(this.#directory, name), { throwIfNoEntry: false });
      return stat ? `${stat.ino}:${stat.mtimeMs}:${stat.size}` : 'none';
    }).join(' ');
  }
}

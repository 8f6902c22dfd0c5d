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
import { readTlsDirectory, TLS_FILES, type TlsMaterial } from './tls-directory.ts';

export interface CredentialsPort {
  /** Others serve from now on. */
  onRenewed(material: TlsMaterial): void;
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
  /** Of the files that were loaded, or could not be. Of the first nothing is known: there may be newer ones by now. */
  #seen = '';
  #loaded: Loaded;

  /** @param material - in use until the files were looked at */
  constructor(directory: string, material: TlsMaterial, port: CredentialsPort) {
    this.#directory = directory;
    this.#port = port;
    this.#loaded = loaded(material);
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
    const material = readTlsDirectory(this.#directory);
    const renewed = loaded(material);
    this.#port.onRenewed(material);
    return renewed;
  }

  /** Differs where a file was written, replaced or removed, or can be looked at no more. */
  #look(): string {
    return TLS_FILES.map((name) => {
      try {
        const { ino, mtimeMs, size } = statSync(join(this.#directory, name));
        return `${ino}:${mtimeMs}:${size}`;
      } catch (error) {
        // Loading says it, once.
        return (error as NodeJS.ErrnoException).code ?? 'unknown';
      }
    }).join(' ');
  }
}

function loaded({ ca, certificate, key }: TlsMaterial): Loaded {
  const options = { ca, cert: certificate, key, minVersion: 'TLSv1.3' } as const;
  return { options, context: createSecureContext(options) };
}

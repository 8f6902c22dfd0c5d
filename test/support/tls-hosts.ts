/**
 * A certificate authority, hosts of it, and their relays.
 *
 * Owns: the directory and every relay and migration port that was opened through it.
 */
import { cpSync, rmSync } from 'node:fs';
import type { GodwitError } from '../../src/base/errors.ts';
import { closeFd } from '../../src/linux/socket.ts';
import { listen, type OpenListener } from '../../src/migration/listener.ts';
import { type OpenedConnection, openConnection } from '../../src/migration/opening.ts';
import { certifyHost, createAuthority, type Validity, validityOf } from '../../src/tls/authority.ts';
import { TlsRelay, type TlsRelayOptions } from '../../src/tls/relay.ts';
import type { RelayPort } from '../../src/tls/relay-orders.ts';
import type { CertificateFacts } from '../../src/tls/tls-directory.ts';
import { TempDirectory } from './temp-directory.ts';

/** What a relay has told. */
export interface RelayNews {
  readonly refused: GodwitError[];
  readonly unusable: GodwitError[];
  readonly renewed: CertificateFacts[];
}

/** At which every port of a test listens. */
export const ADDRESS = '127.0.0.1';

export class TlsHosts implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #directory: TempDirectory;

  private constructor(directory: TempDirectory) {
    this.#directory = this.#stack.use(directory);
  }

  static async create(): Promise<TlsHosts> {
    const hosts = new TlsHosts(new TempDirectory());
    await createAuthority(hosts.authority);
    return hosts;
  }

  get authority(): string {
    return this.#directory.join('ca');
  }

  /** The directory for `--tls` of a host, with a certificate of its own. */
  async certify(name: string, addresses: readonly string[] = [ADDRESS], validity?: Validity): Promise<string> {
    const { directory } = await certifyHost(this.authority, { name, addresses }, validity ?? validityOf(30));
    return directory;
  }

  /** As an administrator copies a host's files. */
  copy(from: string, files: readonly string[], to: string): void {
    for (const file of files) {
      // Another inode: the time of a file may not tell the difference.
      rmSync(`${to}/${file}`);
      cpSync(`${from}/${file}`, `${to}/${file}`);
    }
  }

  relay(
    hostName: string,
    directory: string,
    options: Partial<Pick<TlsRelayOptions, 'names' | 'allow'>> = {},
  ): { readonly port: RelayPort; readonly news: RelayNews } {
    const news: RelayNews = { refused: [], unusable: [], renewed: [] };
    const relay = new TlsRelay({
      ...{ hostName, directory, names: {}, allow: undefined },
      ...options,
      onRefused: (_peer, error) => news.refused.push(error),
      onUnusable: (error) => news.unusable.push(error),
      onRenewed: (certificate) => news.renewed.push(certificate),
      onDied: (error) => {
        throw error;
      },
    });
    this.#stack.use(relay);
    return { port: relay.port, news };
  }

  /** A migration port. @param onJoin - gets the descriptor of whoever joins */
  async listen(
    hostName: string,
    tls: RelayPort | null,
    onJoin: (fd: number) => void = closeFd,
  ): Promise<OpenListener & { readonly address: string }> {
    const listener = await listen({
      ...{ host: ADDRESS, port: 0, hostName, dscp: null, tls, features: [] },
      screen: () => Promise.reject(new Error('nobody offers')),
      onOffer: (_, fd) => closeFd(fd),
      onJoin: (_, takeFd) => {
        onJoin(takeFd());
        return 'taken';
      },
    });
    this.#stack.defer(() => listener.close());
    return { ...listener, address: `${ADDRESS}:${listener.port}` };
  }

  async open(address: string, tls: RelayPort | null, from: string = 'a'): Promise<OpenedConnection> {
    const opened = await openConnection(address, from, { dscp: null, tls }, AbortSignal.timeout(20_000));
    this.#stack.defer(() => opened.connection.destroy());
    return opened;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/**
 * The API of a daemon at the addresses where it is served, to those who may call it.
 *
 * Owns: its listeners, its tokens, its audit log. Must hold: at an address that other machines can reach nobody is answered without a
 * token; on a unix socket and on loopback whoever gets there may do everything, and of who is at a unix socket the kernel is asked.
 */
import type { IncomingMessage } from 'node:http';
import type { AccessPolicy, LocalCaller } from '../api/access.ts';
import { ApiTokens, type TokenSources } from '../api/api-tokens.ts';
import { isLoopback, type ListenAddress, openApiListener } from '../api/listen.ts';
import type { ApiServer } from '../api/server.ts';
import { explain, fixOf } from '../base/errors.ts';
import { peerCredentials } from '../linux/peer-credentials.ts';
import { descriptorOf } from '../linux/socket.ts';
import type { Logger } from './logger.ts';

/** At the file of tokens, while nobody asks for anything: whose token is gone still reads a stream. */
const LOOK_MS = 2_000;

export interface ServedApiOptions extends TokenSources {
  readonly listen: readonly ListenAddress[];
  /** Of unix sockets. */
  readonly listenMode: number;
}

export class ServedApi implements AsyncDisposable {
  /** Of the addresses that are open, with their real ports. */
  readonly urls: string[] = [];
  readonly access: AccessPolicy;
  readonly #options: ServedApiOptions;
  readonly #tokens: ApiTokens;
  readonly #entrances = new WeakMap<IncomingMessage, ListenAddress>();
  readonly #peers = new WeakMap<IncomingMessage['socket'], LocalCaller>();
  readonly #open = new AsyncDisposableStack();

  /** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID where the tokens cannot be read */
  constructor(options: ServedApiOptions, log: Logger) {
    this.#options = options;
    const listeners: (() => void)[] = [];
    this.#tokens = new ApiTokens(options, {
      onRenewed: (names) => {
        log.info({ names }, 'the tokens of the API are others from now on');
        for (const listener of listeners) listener();
      },
      onUnusable: (error) =>
        log.error(
          { reason: explain(error), fix: fixOf(error) },
          'the file of tokens has changed and cannot be used; the old tokens stay',
        ),
    });
    this.access = {
      holderOf: (token) => this.#tokens.holderOf(token),
      localCaller: (request) => this.#localCaller(request),
      onChanged: (listener) => listeners.push(listener),
    };
  }

  /** @throws GW_HOST_START where an address cannot be had */
  async open(server: ApiServer): Promise<void> {
    this.#open.defer(() => server.close());
    const looking = setInterval(() => this.#tokens.look(), LOOK_MS).unref();
    this.#open.defer(() => clearInterval(looking));
    for (const address of this.#options.listen) {
      const listener = await openApiListener(
        address,
        (request, response) => {
          this.#entrances.set(request, address);
          server.routing(request, response);
        },
        this.#options.listenMode,
      );
      this.#open.defer(() => listener.close());
      this.urls.push(listener.url);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#open.disposeAsync();
  }

  #localCaller(request: IncomingMessage): LocalCaller | undefined {
    const entrance = this.#entrances.get(request);
    if (entrance?.kind === 'tcp') return isLoopback(entrance.host) ? { kind: 'loopback' } : undefined;
    if (entrance?.kind === 'unix') return this.#peerOf(request.socket);
    return undefined;
  }

  /** As it was when it connected. */
  #peerOf(socket: IncomingMessage['socket']): LocalCaller {
    const known = this.#peers.get(socket);
    if (known) return known;
    const { uid, pid } = peerCredentials(descriptorOf(socket));
    const caller = { kind: 'unix', uid, pid } as const;
    this.#peers.set(socket, caller);
    return caller;
  }
}

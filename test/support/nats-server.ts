/**
 * A real nats-server with JetStream, on a port that the system chose, with a directory of its own.
 *
 * Owns: the process and its directory; `await using` ends and removes both.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { markChildren } from './leak-check.ts';
import { TempDirectory } from './temp-directory.ts';
import { within } from './wait-until.ts';

export const NATS_SERVER = 'nats-server';

export class NatsServer implements AsyncDisposable {
  readonly #directory = new TempDirectory();
  readonly #port: number;
  #child: ChildProcess | undefined;

  /** That clients must give from its next start on; null: none. */
  token: string | null;

  private constructor(port: number, token: string | null) {
    this.#port = port;
    this.token = token;
  }

  static async open(token: string | null = null): Promise<NatsServer> {
    const server = new NatsServer(await freePort(), token);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Again after `kill`: on the same port, with what it had on disk. */
  async start(): Promise<void> {
    markChildren();
    const args = ['-a', '127.0.0.1', '-p', String(this.#port), '-js', '-sd', this.#directory.path];
    if (this.token !== null) args.push('--auth', this.token);
    const child = spawn(NATS_SERVER, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server is ready')) resolve();
    });
    child.once('error', reject);
    child.once('close', (status) => reject(new Error(`nats-server ended with ${status}: ${said}`)));
    await within('nats-server is ready', promise);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#directory[Symbol.dispose]();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

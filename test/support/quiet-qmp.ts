/**
 * The least of a QMP server that the host daemon can talk to, for tests that need no QEMU: it greets, says which state
 * it is in and does what `stop` and `cont` ask for. The daemon's tests with real QEMU are in src/host/*.vm.test.ts.
 */
import { createServer, type Server, type Socket } from 'node:net';

export class QuietQmp implements AsyncDisposable {
  status = 'running';
  /** Its main loop waits: it does not say how it is. */
  tellsStatus = true;
  readonly commands: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static open(path: string): Promise<QuietQmp> {
    const server = createServer();
    const qmp = new QuietQmp(server);
    server.on('connection', (socket) => qmp.#serve(socket));
    return new Promise((resolve) => server.listen(path, () => resolve(qmp)));
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const version = { qemu: { major: 7, minor: 2, micro: 22 }, package: '' };
    socket.write(`${JSON.stringify({ QMP: { version, capabilities: [] } })}\n`);
    let rest = '';
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines)
        if (line.trim() !== '') this.#answer(socket, JSON.parse(line) as { execute: string; id: number });
    });
  }

  #answer(socket: Socket, { execute, id }: { execute: string; id: number }): void {
    this.commands.push(execute);
    if (execute === 'stop') this.status = 'paused';
    if (execute === 'cont') this.status = 'running';
    if (execute === 'query-status' && !this.tellsStatus) return;
    const result = execute === 'query-status' ? { status: this.status, running: this.status === 'running' } : {};
    socket.write(`${JSON.stringify({ return: result, id })}\n`);
  }
}

/**
 * Answers as a QEMU does whose device state is saved or loaded, so that a thread can rehearse both without a VM.
 *
 * Owns: the QMP socket and whatever was connected to it. Must hold: it sends the events of a save in QEMU's order
 * (capability pause-before-switchover), with a state of the usual size; what it cannot do it answers with an empty
 * result, because nobody depends on it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Command {
  readonly execute: string;
  readonly id: number;
  readonly arguments?: { readonly uri?: string };
}

const GREETING = { QMP: { version: { qemu: { major: 10, minor: 0, micro: 0 }, package: '' }, capabilities: [] } };
/** What a VM with the usual devices sends before it stops, and after. */
const EARLY_BYTES = 210_000;
const DEVICES_BYTES = 80_000;

export class StandInQemu implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #listening = new Set<Server>();
  #saving: Socket | undefined;
  #rest = '';

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static open(path: string): Promise<StandInQemu> {
    const server = createServer();
    const standIn = new StandInQemu(server);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve(standIn));
    });
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#listening) server.close();
    this.#server.close();
  }

  #serve(qmp: Socket): void {
    this.#keep(qmp);
    say(qmp, GREETING);
    qmp.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.#answer(qmp, JSON.parse(line) as Command);
    });
  }

  #answer(qmp: Socket, { execute, id, arguments: given }: Command): void {
    const path = given?.uri?.replace(/^unix:/, '');
    if (execute === 'cont') sayEvent(qmp, 'RESUME');
    if (execute === 'migrate-incoming' && path) this.#load(qmp, path);
    say(qmp, { return: {}, id });
    if (execute === 'migrate' && path) this.#save(qmp, path);
    if (execute === 'migrate-continue') this.#saving?.end(Buffer.alloc(DEVICES_BYTES));
  }

  #save(qmp: Socket, path: string): void {
    sayMigration(qmp, 'setup');
    const state = this.#keep(connect({ path }));
    this.#saving = state;
    state.once('connect', () => {
      sayMigration(qmp, 'active');
      state.write(Buffer.alloc(EARLY_BYTES));
      sayEvent(qmp, 'STOP');
      sayMigration(qmp, 'pre-switchover');
    });
    state.once('close', () => sayMigration(qmp, 'completed'));
  }

  #load(qmp: Socket, path: string): void {
    const server = createServer((state) => {
      this.#keep(state).resume();
      state.once('end', () => sayMigration(qmp, 'completed'));
    });
    this.#listening.add(server);
    server.on('error', () => qmp.destroy());
    server.listen(path);
  }

  /** Whoever breaks off a rehearsal closes what it likes. */
  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    return socket.on('error', () => undefined);
  }
}

function sayMigration(qmp: Socket, status: string): void {
  sayEvent(qmp, 'MIGRATION', { status });
}

function sayEvent(qmp: Socket, event: string, data: Record<string, string> = {}): void {
  const ms = Date.now();
  say(qmp, { timestamp: { seconds: Math.floor(ms / 1000), microseconds: (ms % 1000) * 1000 }, event, data });
}

function say(qmp: Socket, message: object): void {
  if (qmp.writable) qmp.write(`${JSON.stringify(message)}\r\n`);
}

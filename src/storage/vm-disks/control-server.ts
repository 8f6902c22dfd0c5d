/**
 * The control socket of a VM's block server.
 *
 * Owns: its connections. Must hold: every call is answered, also one that cannot be carried out or understood; calls do not
 * wait for each other (a seal can take as long as the storage does, and `admit` must get through meanwhile); a line that is
 * too long, and more calls than MAX_OPEN_CALLS, end the connection.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { asGodwitError, explain, GodwitError } from '../../base/errors.ts';
import { Lines } from '../../base/lines.ts';
import { listenAt } from '../nbd/listening.ts';
import {
  CONTROL_CALLS,
  CONTROL_REQUEST,
  type ControlCall,
  MAX_CONTROL_LINE_BYTES,
  MAX_OPEN_CALLS,
  type Returns,
  type Takes,
} from './control-words.ts';

/** What carries the calls out. */
export type ControlDesk = { [Call in ControlCall]: (words: Takes<Call>) => Promise<Returns<Call>> };

export class ControlServer implements Disposable {
  readonly #desk: ControlDesk;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(desk: ControlDesk) {
    this.#desk = desk;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  /** @throws GW_NBD_LISTEN */
  async listen(path: string): Promise<void> {
    try {
      await listenAt(this.#server, { path });
    } catch (cause) {
      throw new GodwitError('GW_NBD_LISTEN', { address: path, reason: explain(cause) }, { cause });
    }
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #welcome(socket: Socket): void {
    this.#sockets.add(socket);
    const lines = new Lines(MAX_CONTROL_LINE_BYTES, (reason) => new GodwitError('GW_DISK_SERVER', { reason }));
    let open = 0;
    const take = async (line: string): Promise<void> => {
      if (socket.destroyed) return;
      if (++open > MAX_OPEN_CALLS) throw new GodwitError('GW_DISK_SERVER', { reason: 'too many calls are open' });
      const answer = await this.#answer(line);
      open--;
      if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`);
    };
    const refuse = (error: unknown): void => {
      process.stderr.write(`control connection cut off: ${explain(error)}\n`);
      socket.destroy();
    };
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const line of lines.push(chunk)) take(line).catch(refuse);
      } catch (error) {
        refuse(error);
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async #answer(line: string): Promise<{ id: number; value?: unknown; error?: unknown }> {
    let id = 0;
    try {
      const request = CONTROL_REQUEST.parse(JSON.parse(line));
      id = request.id;
      return { id, value: await this.#carryOut(request.call, request.with) };
    } catch (error) {
      return { id, error: asGodwitError(error).toBody() };
    }
  }

  #carryOut<Call extends ControlCall>(call: Call, words: unknown): Promise<Returns<Call>> {
    return this.#desk[call](CONTROL_CALLS[call].takes.parse(words) as Takes<Call>);
  }
}

/**
 * A link between two hosts that changes what one of them says: to the other it is that host which lies.
 *
 * Owns: a port that leads to the target, and its connections. Must hold: what is not lied about passes as it is, in order.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';
import { FrameDecoder } from '../../src/wire/decoder.ts';
import { PREFACE } from '../../src/wire/encoder.ts';
import { encodeFrameHeader, type FrameName, frameName, type PeerRole } from '../../src/wire/frame-types.ts';

/**
 * @param payload - may be changed where it lies
 * @returns frames to send instead; undefined: this one, with the payload as it is now
 */
export type Lie = (frame: FrameName, payload: Uint8Array) => readonly Uint8Array[] | undefined;

export class LyingLink implements AsyncDisposable {
  /** HOST:PORT to connect to instead of the target. */
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: string, liar: PeerRole, lie: Lie) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const colon = target.lastIndexOf(':');
    server.on('connection', (client: Socket) => {
      const host = connect({ host: target.slice(0, colon), port: Number(target.slice(colon + 1)), noDelay: true });
      const truth: Lie = () => undefined;
      client.pipe(new Liar('source', liar === 'source' ? lie : truth)).pipe(host);
      host.pipe(new Liar('destination', liar === 'destination' ? lie : truth)).pipe(client);
      for (const socket of [client, host]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          for (const either of [client, host]) either.destroy();
        });
      }
    });
  }

  /** @param target - HOST:PORT of the destination @param liar - whose words are changed */
  static async open(target: string, liar: PeerRole, lie: Lie): Promise<LyingLink> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new LyingLink(server, target, liar, lie);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

class Liar extends Transform {
  readonly #decoder: FrameDecoder;
  readonly #lie: Lie;
  #hasGreeted = false;

  constructor(speaker: PeerRole, lie: Lie) {
    super();
    this.#decoder = new FrameDecoder(speaker);
    this.#lie = lie;
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    if (!this.#hasGreeted) this.push(PREFACE);
    this.#hasGreeted = true;
    this.#decoder.push(chunk);
    for (let step = this.#decoder.next(); step.kind === 'frame'; step = this.#decoder.next()) {
      const name = frameName(step.type);
      const payload = Buffer.from(step.payload);
      const header = encodeFrameHeader(name, payload.length, 0);
      for (const part of this.#lie(name, payload) ?? [header, payload]) this.push(part);
    }
    done();
  }
}

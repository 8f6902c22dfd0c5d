/**
 * An NBD client that asks for what real ones never would, and reads replies as the protocol has them.
 *
 * Owns: the connection. Must hold: every promise of a request settles, with the connection at the latest.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface NbdAnswer {
  readonly error: number;
  /** Of a read; holes are zeroes. */
  readonly data: Buffer;
  /** Types of the chunks of a structured reply, in order. */
  readonly chunks: readonly number[];
  /** Lengths and flags, in turns, of a block status. */
  readonly status: readonly number[];
}

interface Asked {
  readonly offset: number;
  readonly data: Buffer;
  readonly chunks: number[];
  readonly status: number[];
  error: number;
  resolve(answer: NbdAnswer): void;
  reject(error: Error): void;
}

export class NbdClient implements Disposable {
  readonly #socket: Socket;
  #input: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #hasEnded = false;
  readonly #asked = new Map<number, Asked>();
  #lastCookie = 0;

  private constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on('data', (chunk) => {
      this.#input = Buffer.concat([this.#input, chunk]);
      this.#wake?.();
    });
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.#hasEnded = true;
      this.#wake?.();
    });
  }

  static async open(path: string, exportName: string, { isStructured = true } = {}): Promise<NbdClient> {
    const client = new NbdClient(path);
    await client.#take(18);
    client.send(Buffer.from('00000003', 'hex'));
    const name = Buffer.from(exportName);
    const named = Buffer.concat([uint32(name.length), name]);
    if (isStructured) {
      const context = Buffer.from('base:allocation');
      await client.#option(8, Buffer.alloc(0));
      await client.#option(10, Buffer.concat([named, uint32(1), uint32(context.length), context]));
    }
    await client.#option(7, Buffer.concat([named, Buffer.alloc(2)]));
    void client.#readReplies(isStructured);
    return client;
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  ask(
    command: number,
    offset: number,
    bytes: number,
    { flags = 0, data = Buffer.alloc(0) as Buffer } = {},
  ): Promise<NbdAnswer> {
    const header = Buffer.alloc(28);
    header.writeUInt32BE(0x25609513, 0);
    header.writeUInt16BE(flags, 4);
    header.writeUInt16BE(command, 6);
    header.writeUInt32BE(++this.#lastCookie, 12);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(bytes, 24);
    const { promise, resolve, reject } = Promise.withResolvers<NbdAnswer>();
    const room = Buffer.alloc(command === 0 && bytes <= 2 ** 25 ? bytes : 0);
    this.#asked.set(this.#lastCookie, { offset, data: room, chunks: [], status: [], error: 0, resolve, reject });
    this.send(Buffer.concat([header, data]));
    return promise;
  }

  read(offset: number, bytes: number): Promise<NbdAnswer> {
    return this.ask(0, offset, bytes);
  }

  write(offset: number, data: Buffer): Promise<NbdAnswer> {
    return this.ask(1, offset, data.length, { data });
  }

  /** Takes its leave. */
  async leave(): Promise<void> {
    void this.ask(2, 0, 0).catch(() => undefined);
    await this.closed();
  }

  async closed(): Promise<void> {
    if (!this.#hasEnded) await once(this.#socket, 'close');
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #option(option: number, data: Buffer): Promise<void> {
    this.send(Buffer.concat([Buffer.from('IHAVEOPT'), uint32(option), uint32(data.length), data]));
    for (;;) {
      const head = await this.#take(20);
      await this.#take(head.readUInt32BE(16));
      const type = head.readUInt32BE(12);
      if (type === 1) return;
      if (type >= 2 ** 31) throw new Error(`option ${option} was refused with ${type - 2 ** 31}`);
    }
  }

  async #readReplies(isStructured: boolean): Promise<void> {
    try {
      for (;;) await (isStructured ? this.#readChunk() : this.#readSimple());
    } catch (error) {
      for (const asked of this.#asked.values()) asked.reject(error as Error);
    }
  }

  async #readSimple(): Promise<void> {
    const head = await this.#take(16);
    if (head.readUInt32BE(0) !== 0x67446698) throw new Error('no simple reply');
    const asked = this.#asked.get(head.readUInt32BE(12))!;
    asked.error = head.readUInt32BE(4);
    if (asked.error === 0) asked.data.set(await this.#take(asked.data.length));
    this.#finish(head.readUInt32BE(12), asked);
  }

  async #readChunk(): Promise<void> {
    const head = await this.#take(20);
    if (head.readUInt32BE(0) !== 0x668e33ef) throw new Error('no structured reply');
    const payload = await this.#take(head.readUInt32BE(16));
    const type = head.readUInt16BE(6);
    const asked = this.#asked.get(head.readUInt32BE(12))!;
    asked.chunks.push(type);
    if (type === 1) asked.data.set(payload.subarray(8), Number(payload.readBigUInt64BE(0)) - asked.offset);
    if (type === 5) for (let at = 4; at < payload.length; at += 4) asked.status.push(payload.readUInt32BE(at));
    if (type >= 2 ** 15) asked.error = payload.readUInt32BE(0);
    if ((head.readUInt16BE(4) & 1) !== 0) this.#finish(head.readUInt32BE(12), asked);
  }

  #finish(cookie: number, asked: Asked): void {
    this.#asked.delete(cookie);
    const { error, data, chunks, status } = asked;
    asked.resolve({ error, data, chunks, status });
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#input.length < bytes) {
      if (this.#hasEnded) throw new Error('the server has closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#input.subarray(0, bytes);
    this.#input = this.#input.subarray(bytes);
    return taken;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

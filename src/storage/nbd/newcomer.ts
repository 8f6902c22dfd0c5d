/**
 * A connection that has not chosen an export yet.
 *
 * Owns: its negotiation, and the time that it has for it. Must hold: what is no client, or dawdles, is cut off, and
 * it is told why.
 */
import { createServer, type SecureContextOptions } from 'node:tls';
import type { ByteChannel, ChannelEvents } from './byte-channel.ts';
import type { Agreement, ExportFacts } from './export.ts';
import { NEGOTIATION_TIMEOUT_MS } from './limits.ts';
import { Negotiation, type NegotiationStep } from './negotiation.ts';
import { encodeGreeting } from './option-replies.ts';
import { StreamChannel } from './stream-channel.ts';

export interface NewcomerOptions {
  readonly channel: StreamChannel;
  readonly exports: ReadonlyMap<string, ExportFacts>;
  /** Absent: in plain text; otherwise nothing goes without it. */
  readonly tls: SecureContextOptions | undefined;
  /**
   * @param answer - to be sent before everything else
   * @param rest - what has come behind the negotiation
   */
  onChosen(channel: ByteChannel, agreement: Agreement, answer: Uint8Array, rest: Uint8Array): void;
  /** @param reason - undefined when it took its leave, or went */
  onEnd(reason: string | undefined): void;
}

const ROOM_BYTES = 16 * 1024;

export class Newcomer implements ChannelEvents {
  readonly #options: NewcomerOptions;
  readonly #negotiation: Negotiation;
  readonly #room = Buffer.allocUnsafe(ROOM_BYTES);
  readonly #timer: NodeJS.Timeout;
  #channel: StreamChannel;
  #isOver = false;

  constructor(options: NewcomerOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#negotiation = new Negotiation({ exports: options.exports, tls: options.tls ? 'required' : 'none' });
    const late = `it has not chosen an export within ${NEGOTIATION_TIMEOUT_MS / 1000} s`;
    this.#timer = setTimeout(() => this.#fail(late), NEGOTIATION_TIMEOUT_MS);
    this.#timer.unref();
  }

  begin(): void {
    this.#channel.begin(this);
    this.#channel.send([encodeGreeting()]);
  }

  writable(): Uint8Array {
    return this.#room;
  }

  received(bytes: number): void {
    if (this.#isOver) return;
    this.#negotiation.push(this.#room.subarray(0, bytes));
    while (!this.#isOver) {
      const step = this.#negotiation.next();
      if (step.kind === 'needMore') return;
      this.#obey(step);
      if (step.kind === 'startTls') return;
    }
  }

  closed(reason: string | undefined): void {
    if (this.#end()) this.#options.onEnd(reason);
  }

  /** The server ends. */
  leave(): void {
    if (!this.#end()) return;
    this.#channel.destroy();
    this.#options.onEnd(undefined);
  }

  #obey(step: Exclude<NegotiationStep, { kind: 'needMore' }>): void {
    switch (step.kind) {
      case 'answer':
        this.#channel.send([step.bytes]);
        return;
      case 'startTls':
        this.#startTls(step.bytes);
        return;
      case 'over':
        this.#end();
        this.#channel.send([step.bytes]);
        this.#channel.end();
        this.#options.onEnd(undefined);
        return;
      case 'violation':
        this.#fail(step.reason);
        return;
      case 'transmission':
        this.#end();
        this.#options.onChosen(this.#channel, step.agreement, step.bytes, this.#negotiation.rest);
    }
  }

  #startTls(answer: Buffer): void {
    const plain = this.#channel.detach();
    plain.write(answer);
    // With a certificate authority of its own, clients have to show a certificate of it.
    const asksClient = this.#options.tls?.ca !== undefined;
    // It listens nowhere. A TLS socket by itself takes any client's certificate: it is Node's server that judges it.
    const server = createServer({
      ...this.#options.tls,
      minVersion: 'TLSv1.3',
      requestCert: asksClient,
      rejectUnauthorized: asksClient,
    });
    server.once('secureConnection', (socket) => {
      if (this.#isOver) {
        socket.destroy();
        return;
      }
      this.#negotiation.tlsStarted();
      this.#channel = new StreamChannel(socket, this.#channel.peer);
      this.#channel.begin(this);
    });
    server.once('tlsClientError', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message));
    plain.once('close', () => this.#fail('TLS did not come about, or its certificate is not of the authority'));
    server.emit('connection', plain);
  }

  #fail(reason: string): void {
    if (!this.#end()) return;
    this.#channel.destroy();
    this.#options.onEnd(reason);
  }

  /** False when it was over already. */
  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#timer);
    return true;
  }
}

/**
 * Two ends of one TCP connection inside this process.
 *
 * Owns: both sockets. Must hold: neither reads by itself, and the end of one direction leaves the other open.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { descriptorOf, duplicateFd } from '../../src/linux/socket.ts';

export class SocketPair implements Disposable {
  readonly near: Socket;
  readonly far: Socket;

  private constructor(near: Socket, far: Socket) {
    this.near = near;
    this.far = far;
  }

  static async open(): Promise<SocketPair> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const { port } = server.address() as { port: number };
    // Paused before it is connected: later it would have begun to read.
    const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).pause();
    await once(near, 'connect');
    const [far] = await accepted;
    server.close();
    // A reset is what some tests are about.
    for (const socket of [near, far]) socket.on('error', () => undefined);
    return new SocketPair(near, far);
  }

  /** A duplicate of an end's descriptor, the caller's; without it the end stays open until both are closed. */
  take(end: 'near' | 'far'): number {
    return duplicateFd(descriptorOf(this[end]));
  }

  [Symbol.dispose](): void {
    this.near.destroy();
    this.far.destroy();
  }
}

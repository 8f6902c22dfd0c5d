/**
 * Sends whole Ethernet frames out of network interfaces (packet(7)).
 *
 * Owns: one socket, which receives nothing. Needs CAP_NET_RAW.
 */
import { AF_PACKET, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW, SOCKADDR_LL_BYTES } from './abi/socket.ts';
import { Errno } from './errno.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { call, lastErrno, raw } from './raw.ts';

/** Offset of sll_ifindex in struct sockaddr_ll; before it stand the family and the protocol, of 16 bits each. */
const IFINDEX_OFFSET = 4;
const UNSENT: ReadonlySet<number> = new Set([Errno.ENETDOWN, Errno.ENXIO, Errno.ENODEV, Errno.ENOBUFS, Errno.EAGAIN]);

export class PacketSocket implements Disposable {
  readonly #socket: FileDescriptor;

  /** @throws GW_SYS_CALL */
  constructor() {
    // SAFETY: no memory. Protocol 0: no frame is given to it.
    this.#socket = new FileDescriptor(call('socket(AF_PACKET)', raw.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)));
  }

  /**
   * @param ifindex - of the interface, which must be up
   * @param frame - from the destination's address on, without the checksum at its end
   * @returns false when the interface is down or gone, or its queue is full
   * @throws GW_SYS_CALL
   */
  send(ifindex: number, frame: Uint8Array): boolean {
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_PACKET;
    new Int32Array(address.buffer, address.byteOffset + IFINDEX_OFFSET, 1)[0] = ifindex;
    // SAFETY: reads `frame` and `address`, alive until the end of this function, with their own lengths; does not block.
    const sent = raw.sendto(this.#socket.fd, frame, frame.length, MSG_DONTWAIT, address, address.length);
    if (sent === -1 && UNSENT.has(lastErrno())) return false;
    call('sendto(AF_PACKET)', sent);
    return true;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/**
 * Sends whole Ethernet frames out of network interfaces (packet(7)).
 *
 * Owns: one socket, which receives nothing. Needs CAP_NET_RAW.
 */
import { AF_PACKET, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW, SOCKADDR_LL_BYTES } from './abi/socket.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { call, raw } from './raw.ts';

/** Offset of sll_ifindex in struct sockaddr_ll; before it stand the family and the protocol, of 16 bits each. */
const IFINDEX_OFFSET = 4;

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
   * @throws GW_SYS_CALL
   */
  send(ifindex: number, frame: Uint8Array): void {
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_PACKET;
    new Int32Array(address.buffer, address.byteOffset + IFINDEX_OFFSET, 1)[0] = ifindex;
    // SAFETY: reads `frame` and `address`, alive until the end of this function, with their own lengths; does not block.
    const sent = raw.sendto(this.#socket.fd, frame, frame.length, MSG_DONTWAIT, address, address.length);
    call('sendto(AF_PACKET)', sent);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

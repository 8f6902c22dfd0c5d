/**
 * Tells systemd about the state of this service.
 *
 * Owns: one datagram to $NOTIFY_SOCKET per message; nothing happens when the variable is not set, as outside systemd.
 * Sent by a raw call, because Node has no unix datagram sockets and a helper process would not count as the service.
 * https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
 */
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM, UNIX_PATH_MAX } from './abi/socket.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { call, raw } from './raw.ts';

/**
 * @param state `READY=1`, `STOPPING=1`, or others of sd_notify(3), one per line.
 * @returns false when there is nobody to tell. Throws GW_SYS_CALL when telling fails.
 */
export function notifySystemd(state: string, address: string | undefined = process.env['NOTIFY_SOCKET']): boolean {
  // Addresses other than a path or an abstract name (vsock:…) are for machines, not for services in them.
  if (address === undefined || !/^[/@]/.test(address)) return false;
  const name = Buffer.from(address);
  if (name.length >= UNIX_PATH_MAX) return false;
  // An abstract name starts with a zero byte and, unlike a path, has none at its end.
  const isAbstract = address.startsWith('@');
  if (isAbstract) name[0] = 0;
  const socketAddress = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  new Uint16Array(socketAddress.buffer, socketAddress.byteOffset, 1)[0] = AF_UNIX;
  name.copy(socketAddress, 2);
  const message = Buffer.from(state);
  // SAFETY: no memory.
  using socket = new FileDescriptor(call('socket(AF_UNIX)', raw.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  // SAFETY: reads `message` and `socketAddress`, alive until the end of this function, with their own lengths.
  const sent = raw.sendto(socket.fd, message, message.length, flags, socketAddress, socketAddress.length);
  call('sendto($NOTIFY_SOCKET)', sent);
  return true;
}

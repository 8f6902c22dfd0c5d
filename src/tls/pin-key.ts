/**
 * How an address of another host is written where its name in a certificate is looked up.
 *
 * Must hold: two ways to write one address are one key, or a pin would not be found and the address would do instead of the name.
 */
import { isIPv6, SocketAddress } from 'node:net';

export function pinKey(host: string, port: number): string {
  const shortest = isIPv6(host) ? new SocketAddress({ address: host, family: 'ipv6' }).address : host.toLowerCase();
  return `${shortest}:${port}`;
}

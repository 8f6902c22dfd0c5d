/**
 * The other hosts, by the names that the configuration gives them.
 *
 * Must hold: what is not a known name is an address that can be dialled, or an error that says what would be.
 */
import { parseHostPort } from '../api/listen.ts';
import { GodwitError } from '../base/errors.ts';

/** The address of the migration port of `to`. @throws GW_INPUT_INVALID */
export function resolvePeer(peers: Readonly<Record<string, string>>, to: string): string {
  if (Object.hasOwn(peers, to)) return peers[to]!;
  try {
    parseHostPort(to, 'to');
    return to;
  } catch {
    const names = Object.keys(peers).join(', ');
    const known =
      names === ''
        ? 'name hosts with --peer NAME=HOST:PORT or `peers` in the config file'
        : `one of the peers ${names}`;
    const fix = `give HOST:PORT of the other host's migration port, or ${known}`;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'to', value: to, fix });
  }
}

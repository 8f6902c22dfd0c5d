/**
 * The other hosts, by the names that the configuration gives them.
 *
 * Must hold: what is not a known name is an address that can be dialled, or an error that says what would be; this host itself
 * is no other host.
 */
import { hostname, networkInterfaces } from 'node:os';
import { isLoopback, parseHostPort } from '../api/listen.ts';
import { GodwitError } from '../base/errors.ts';

const WILDCARDS: readonly string[] = ['0.0.0.0', '::'];

export class Peers {
  readonly #names: Readonly<Record<string, string>>;
  /** Of this host's own migration port; null: it is not open yet. */
  #own: string | null = null;

  constructor(names: Readonly<Record<string, string>>) {
    this.#names = names;
  }

  /** @param address - HOST:PORT that this host listens at */
  isAt(address: string): void {
    this.#own = address;
  }

  /** The address of the migration port of `to`. @throws GW_INPUT_INVALID */
  resolve(to: string): string {
    const address = Object.hasOwn(this.#names, to) ? this.#names[to]! : this.#check(to);
    if (this.#own === null || !isSamePort(address, this.#own)) return address;
    const fix = `give another host: ${this.#own} is the migration port of this one`;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'to', value: to, fix });
  }

  #check(to: string): string {
    try {
      parseHostPort(to, 'to');
      return to;
    } catch {
      const names = Object.keys(this.#names).join(', ');
      const known =
        names === ''
          ? 'name hosts with --peer NAME=HOST:PORT or `peers` in the config file'
          : `one of the peers ${names}`;
      const fix = `give HOST:PORT of the other host's migration port, or ${known}`;
      throw new GodwitError('GW_INPUT_INVALID', { field: 'to', value: to, fix });
    }
  }
}

/** A name that nobody can tell without asking the network is another host's, until that answers. */
function isSamePort(address: string, own: string): boolean {
  const [there, here] = [parseHostPort(address, 'to'), parseHostPort(own, 'migration')];
  if (there.port !== here.port) return false;
  if (there.host === here.host) return true;
  const isEverywhere = WILDCARDS.includes(here.host);
  return isEverywhere ? isOfThisMachine(there.host) : here.host === '127.0.0.1' && there.host === 'localhost';
}

function isOfThisMachine(host: string): boolean {
  if (isLoopback(host) || host === hostname() || WILDCARDS.includes(host)) return true;
  return Object.values(networkInterfaces()).some((own) => own?.some(({ address }) => address === host));
}

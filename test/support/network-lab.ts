/**
 * Two hosts and a client on one network, each in a network namespace of its own: what is done to them is done to no
 * interface of this machine.
 *
 * Owns: the namespaces, which carry this process's id in their names, and all interfaces in them. Must hold: whatever runs
 * in them has ended before they are removed.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export type Side = 'a' | 'b';
type Place = Side | 'client';

/** Of each side's bridge, and of the client. */
export const LAB_ADDRESSES: Readonly<Record<Place, string>> = { a: '10.77.0.1', b: '10.77.0.2', client: '10.77.0.9' };
export const BRIDGE = 'br0';

const SIDES: readonly Side[] = ['a', 'b'];
const PLACES: readonly Place[] = [...SIDES, 'client'];
/** The switch that both hosts and the client are plugged into. */
const SWITCH = 'sw0';
const UPLINK = 'up0';
/** Lets a packet of the largest size that the kernel hands on in one piece (64 KiB) through. */
const BURST_BYTES = 131_072;
const QUEUE_MS = 12;

const run = promisify(execFile);

export class NetworkLab implements AsyncDisposable {
  /** @param bitsPerSecond - of each host's link, both ways; absent: as fast as the machine can */
  static async open(bitsPerSecond?: number): Promise<NetworkLab> {
    const lab = new NetworkLab();
    try {
      for (const place of PLACES) await run('ip', ['netns', 'add', namespaceOf(place)]);
      await lab.#addBridge('client', SWITCH);
      for (const side of SIDES) {
        await lab.#addBridge(side, BRIDGE);
        const peer = ['peer', 'name', `to-${side}`, 'netns', namespaceOf('client')];
        // As high as few are, since a random one now and then is: the bridge has it, and must keep it.
        const address = ['address', `fe:fe:00:00:00:0${side}`];
        await lab.ip(side, 'link', 'add', UPLINK, ...address, 'type', 'veth', ...peer);
        await lab.ip(side, 'link', 'set', UPLINK, 'master', BRIDGE, 'up');
        await lab.ip('client', 'link', 'set', `to-${side}`, 'master', SWITCH, 'up');
        if (bitsPerSecond === undefined) continue;
        for (const [place, link] of [[side, UPLINK] as const, ['client', `to-${side}`] as const]) {
          const limits = ['rate', `${bitsPerSecond}bit`, 'burst', `${BURST_BYTES}b`, 'latency', `${QUEUE_MS}ms`];
          await run('tc', ['-n', namespaceOf(place), 'qdisc', 'add', 'dev', link, 'root', 'tbf', ...limits]);
        }
      }
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Words in front of a program that is to run there. `ip netns exec` would mount another /sys, without control groups. */
  launcher(place: Place): string[] {
    return ['nsenter', `--net=/run/netns/${namespaceOf(place)}`, '--'];
  }

  /** `ip WORDS…` there. */
  async ip(place: Place, ...words: string[]): Promise<string> {
    const { stdout } = await run('ip', ['-n', namespaceOf(place), ...words]);
    return stdout;
  }

  /** Names of tap devices that are there. */
  async taps(side: Side): Promise<string[]> {
    const links = JSON.parse(await this.ip(side, '-json', 'link', 'show')) as { ifname: string }[];
    return links.map(({ ifname }) => ifname).filter((name) => name.startsWith('gw'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const place of PLACES) await run('ip', ['netns', 'del', namespaceOf(place)]).catch(() => undefined);
  }

  async #addBridge(place: Place, name: string): Promise<void> {
    await this.ip(place, 'link', 'set', 'lo', 'up');
    await this.ip(place, 'link', 'add', name, 'type', 'bridge');
    await this.ip(place, 'addr', 'add', `${LAB_ADDRESSES[place]}/24`, 'dev', name);
    await this.ip(place, 'link', 'set', name, 'up');
  }
}

function namespaceOf(place: Place): string {
  return `gwt-${process.pid}-${place}`;
}

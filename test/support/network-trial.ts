/**
 * Two host daemons in a network lab, and a Linux guest with an interface in their bridges that a client can talk to.
 *
 * Owns: the lab, the daemons and their VMs.
 */
import { linuxGuestCommandLine, linuxGuestImages, type WorkloadOptions } from '../../guest/linux/images.ts';
import type { VmSpecInput } from '../../src/api/vm-schema.ts';
import type { HostOptions } from './godwit-host.ts';
import { GuestSession } from './guest-session.ts';
import { HostPair, type ReachedHost } from './host-pair.ts';
import { BRIDGE, LAB_ADDRESSES, NetworkLab, type Side } from './network-lab.ts';
import { waitUntil } from './wait-until.ts';

export const TALKER = 'talker';
const GUEST_ADDRESS = '10.77.0.7';
const GUEST_PORT = 7007;
const WORKLOAD: WorkloadOptions = { fillMiB: 16, workingSetMiB: 4, rate: 500 };

export class NetworkTrial implements AsyncDisposable {
  readonly lab: NetworkLab;
  readonly pair: HostPair;

  private constructor(lab: NetworkLab, pair: HostPair) {
    this.lab = lab;
    this.pair = pair;
  }

  /**
   * @param args - further arguments of both daemons
   * @param bitsPerSecond - of each host's link
   */
  static async open(args: readonly string[] = [], bitsPerSecond?: number): Promise<NetworkTrial> {
    const lab = await NetworkLab.open(bitsPerSecond);
    const options = (side: Side): Omit<HostOptions, 'name'> => ({
      address: LAB_ADDRESSES[side],
      apiSocket: true,
      launcher: lab.launcher(side),
      args: ['--insecure-migration', ...args],
    });
    try {
      return new NetworkTrial(lab, await HostPair.open(options('a'), options('b')));
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Creates the guest and waits until its server answers. */
  async createTalker(at: ReachedHost, nics: VmSpecInput['nics'] = [BRIDGE]): Promise<void> {
    const words = [`godwit.net=${GUEST_ADDRESS}/24`, `godwit.serve=${GUEST_PORT}`];
    const boot = { ...linuxGuestImages(), cmdline: linuxGuestCommandLine(WORKLOAD, words) };
    await at.client.createVm({ name: TALKER, memory: '128MiB', accel: 'tcg', boot, nics });
    const server = 'ticker: port';
    await waitUntil('the guest serves', async () => (await at.client.consoleText(TALKER)).includes(server), {
      timeoutMs: 60_000,
      intervalMs: 50,
    });
  }

  /** A connection from the client to the guest. */
  connect(): Promise<GuestSession> {
    return GuestSession.open(this.lab.launcher('client'), GUEST_ADDRESS, GUEST_PORT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _last = this.lab;
    await this.pair[Symbol.asyncDispose]();
  }
}

/**
 * Three hosts of one fleet: `a` in the source's namespace, `b` and `c` in the destination's, as its owner would write them down.
 *
 * Owns: the daemons, with all VMs. Must hold: every run has daemons and a key of its own, so that no run spares the next one its
 * bytes; the ways are known before anything is measured, as they are in a fleet that has been at work.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type FleetFile, parseFleet } from '../src/controller/fleet-file.ts';
import type { FleetPolicy } from '../src/fleet/fleet-state.ts';
import { checkFleetVm, createFleetVm, fleetGuests } from './fleet-guests.ts';
import { GodwitHost } from './godwit-hosts.ts';
import type { Bench } from './system.ts';

/** Beside the ports of the hosts of the other runs. */
const SAMPLES = 3;
const KNOWN_TIMEOUT_MS = 240_000;
const POLL_MS = 500;
const PORTS = { a: 7713, b: 7713, c: 7714 };

export class FleetTrio implements AsyncDisposable {
  readonly a: GodwitHost;
  readonly b: GodwitHost;
  readonly c: GodwitHost;
  readonly #directory: string;

  private constructor(directory: string, args: readonly string[]) {
    this.#directory = directory;
    this.a = new GodwitHost('source', directory, { name: 'a', migrationPort: PORTS.a, args });
    this.b = new GodwitHost('destination', directory, { name: 'b', migrationPort: PORTS.b, args });
    this.c = new GodwitHost('destination', directory, { name: 'c', migrationPort: PORTS.c, args });
  }

  /** @param args - further ones of `godwit host` */
  static async start(bench: Bench, name: string, args: readonly string[]): Promise<FleetTrio> {
    const directory = join(bench.directory, name);
    mkdirSync(directory);
    const keyPath = join(directory, 'key');
    writeFileSync(keyPath, `a key of the bench, ${name}, and long enough\n`);
    const trio = new FleetTrio(directory, ['--fleet-key-file', keyPath, ...args]);
    try {
      await Promise.all(trio.all.map((host) => host.ready()));
      return trio;
    } catch (error) {
      await trio[Symbol.asyncDispose]();
      throw error;
    }
  }

  get all(): readonly GodwitHost[] {
    return [this.a, this.b, this.c];
  }

  /**
   * @param rate - of each host's port
   * @param destinations - how many of the others take VMs
   */
  file(
    rate: string,
    policy: Partial<Pick<FleetPolicy, 'grouping' | 'objective'>> & { maxQuietWait?: number },
    destinations: 1 | 2 = 2,
  ): FleetFile {
    const takers = ['b', 'c'].slice(0, destinations);
    const hosts = Object.fromEntries(
      (['a', 'b', 'c'] as const).map((name) => {
        const api = `unix:${join(this.#directory, `${name}.sock`)}`;
        return [name, { api, migration: this[name].migrationAddress, rate, takesVms: takers.includes(name) }];
      }),
    );
    return parseFleet({ hosts, ...policy }, this.#directory);
  }

  /** A VM of its own image goes to each destination and ends there. */
  async explore(bench: Bench, name: string): Promise<void> {
    const [scout] = fleetGuests(1, 1);
    const { options } = scout!.workload;
    for (const [index, to] of [this.b, this.c].entries()) {
      const vm = `${name}-s${index}`;
      const workload = { ...scout!.workload, options: { ...options, seed: 90 + index } };
      await createFleetVm(bench, this.a, vm, { ...scout!, workload });
      const { report } = await this.a.client.migrateAndWait(vm, { to: to.migrationAddress });
      if (report?.outcome !== 'completed') throw new Error(`${vm}: ${report?.error?.message ?? 'did not arrive'}`);
      await checkFleetVm(this.all, vm);
      await to.remove(vm);
    }
  }

  /** All VMs have been looked through, and their writing has been sampled several times. */
  async known(): Promise<void> {
    const deadlineMs = performance.now() + KNOWN_TIMEOUT_MS;
    for (;;) {
      const { vms } = await this.a.client.outlook();
      if (vms.every(({ contents, samples }) => contents !== null && samples.length >= SAMPLES)) return;
      if (performance.now() > deadlineMs) throw new Error('The VMs are not looked through in time');
      await delay(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((host) => host.end()));
  }
}

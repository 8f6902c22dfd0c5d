/**
 * Two hosts between which a shared region moves, on one machine: two files, a migration port, a link that can be cut, and
 * stand-ins for VMs that move.
 *
 * Owns: all of it. Must hold: a VM's process at the destination is watched before it touches anything; what happened is kept in
 * order, so that tests wait for it.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { Userfaultfd } from '../../src/linux/userfaultfd.ts';
import { endThreads } from '../../src/migration/child-threads.ts';
import { listen, type OpenListener } from '../../src/migration/listener.ts';
import { REGION_FEATURES } from '../../src/migration/shared-part.ts';
import { newSessionKey } from '../../src/migration/source-offer.ts';
import type { RegionReport } from '../../src/sharing/region-report.ts';
import {
  type LeftVm,
  type RegionDestinationEvent,
  type RegionDestinationHandle,
  type RegionSourceEvent,
  type RegionSourceHandle,
  type RegionSourceOptions,
  startRegionDestination,
  startRegionSource,
} from '../../src/sharing/region-threads.ts';
import type { Message } from '../../src/wire/messages.ts';
import { LinkProxy } from './link-proxy.ts';
import { Sharer } from './sharer.ts';
import { SHARED_MEMORY_PREFIX } from './temp-directory.ts';
import { waitUntil } from './wait-until.ts';

export interface RegionHostsOptions {
  readonly pages: number;
  readonly vms: readonly string[];
  readonly canStopInFault?: boolean;
  /** Refuses the offer with this. */
  readonly refusal?: Error;
  readonly budget?: SharedArrayBuffer;
  /** The destination has memory for so many pages, until `grow` (needs root). */
  readonly roomPages?: number;
}

export class RegionHosts implements AsyncDisposable {
  readonly pages: number;
  readonly path: { readonly source: string; readonly destination: string };
  readonly vms: ReadonlyMap<string, Sharer>;
  readonly sessionKey: string = newSessionKey();
  /** What the source is watched by cannot be written down. */
  isDiskFull = false;
  /** What the destination says of a region that has ended there. */
  whenGone: 'unknown' | 'over' = 'unknown';
  readonly sourceEvents: RegionSourceEvent[] = [];
  readonly destinationEvents: RegionDestinationEvent[] = [];
  /** How often the region was offered. */
  offers = 0;
  link!: LinkProxy;
  source!: RegionSourceHandle;
  destination: RegionDestinationHandle | undefined;
  readonly #options: RegionHostsOptions;
  readonly #directory = mkdtempSync(SHARED_MEMORY_PREFIX);
  readonly #moved = new Set<string>();
  readonly #insideFds = new Map<string, number>();
  readonly #attached: LeftVm[] = [];
  #group = '';
  /** The destination's thread has ended by itself. */
  #isGone = false;
  #listener!: OpenListener;

  private constructor(options: RegionHostsOptions) {
    this.#options = options;
    this.pages = options.pages;
    const make = (host: string): string => {
      mkdirSync(join(this.#directory, host));
      if (host === 'destination' && options.roomPages !== undefined) this.#mount(['-t', 'tmpfs'], options.roomPages);
      const path = join(this.#directory, host, 'region');
      const file = openSync(path, 'w');
      ftruncateSync(file, options.pages * PAGE_SIZE);
      closeSync(file);
      return path;
    };
    this.path = { source: make('source'), destination: make('destination') };
    this.vms = new Map(options.vms.map((vm) => [vm, new Sharer(vm, this.#directory, options.pages)]));
  }

  /** The VMs are at the source and touch nothing yet; nothing is watched. */
  static async open(options: RegionHostsOptions): Promise<RegionHosts> {
    const hosts = new RegionHosts(options);
    for (const vm of hosts.vms.values()) await vm.start(hosts.path.source);
    hosts.#listener = await listen({
      host: '127.0.0.1',
      port: 0,
      features: [],
      hostName: 'b',
      dscp: null,
      tls: null,
      screen: () => Promise.reject(new Error('nobody offers a VM')),
      onOffer: () => undefined,
      onJoin: () => 'unknown',
      regions: {
        onOffer: (offer, takeFd) => hosts.#accept(offer, takeFd),
        onJoin(join, takeFd, peer) {
          if (join.sessionKey !== hosts.sessionKey || !hosts.destination || hosts.#isGone) return hosts.whenGone;
          hosts.destination.addConnection(takeFd(), peer);
          return 'taken';
        },
      },
    });
    hosts.link = await LinkProxy.open(`127.0.0.1:${hosts.#listener.port}`);
    return hosts;
  }

  /** Without the link that can be cut. */
  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  startSource(to: string = this.link.address): RegionSourceHandle {
    this.source = startRegionSource(this.#sourceOptions(to, null));
    return this.source;
  }

  /** As if the daemon of the source had been killed and started again: its thread ends where it is, and another one goes on. */
  async restartSource(): Promise<void> {
    const { vms } = this.#options;
    await this.source.abandon();
    const left = vms.filter((vm) => !this.#moved.has(vm));
    const resumes = left.map((vm) => ({ ...this.vm(vm).watched, insideFd: this.#insideFds.get(vm)! }));
    this.source = startRegionSource(this.#sourceOptions(this.link.address, resumes));
    await this.source.ready;
    for (const vm of this.#moved) {
      this.source.vmStopped(vm);
      this.source.vmLeft(vm);
    }
  }

  /** The same at the destination. @param before - done to each VM that it watched, by the one that was killed */
  async restartDestination(before: (vm: LeftVm) => void = () => undefined): Promise<void> {
    await this.destination!.abandon();
    for (const vm of this.#attached) before(vm);
    this.#startDestination(null, this.#attached);
  }

  #sourceOptions(to: string, resumes: readonly LeftVm[] | null): RegionSourceOptions {
    const { vms, budget, canStopInFault = false } = this.#options;
    return {
      group: randomUUID(),
      sessionKey: this.sessionKey,
      region: { name: 'ring', bytes: this.pages * PAGE_SIZE, path: this.path.source },
      to,
      hostName: 'a',
      dscp: null,
      tls: null,
      ...(budget ? { budget } : {}),
      vms: vms.map((vm) => ({ ...this.vm(vm).watched, canStopInFault })),
      journal: join(this.#directory, 'journal-of-source'),
      resumes,
      onWatched: (insideFds) => {
        if (this.isDiskFull) throw new Error('no space left on device');
        for (const [vm, fd] of insideFds) this.#insideFds.set(vm, fd);
      },
      onEvent: (event) => this.sourceEvents.push(event),
    };
  }

  vm(name: string): Sharer {
    return this.vms.get(name)!;
  }

  /** Its process at the source stands, or waits for a page and is never to get it; at the destination it goes on. */
  async move(name: string, run: (vm: Sharer) => void = (vm) => vm.run()): Promise<void> {
    await this.arrive(name);
    this.source.begin();
    this.source.vmLeft(name);
    run(this.vm(name));
  }

  /** It is watched at the destination, and has not been committed. */
  async arrive(name: string): Promise<void> {
    const vm = this.vm(name);
    this.#moved.add(name);
    await vm.kill();
    await vm.start(this.path.destination);
    const { pid, hostAddress } = vm.watched;
    using uffd = Userfaultfd.openInside(pid, { features: REGION_FEATURES, keepInside: true });
    uffd.register(hostAddress, this.pages * PAGE_SIZE, { missing: true, writeProtect: true });
    this.#attached.push({ ...vm.watched, insideFd: uffd.insideFd! });
    await this.destination!.attach(this.#attached.at(-1)!);
  }

  /** Stops a VM as the daemon would, and moves it. */
  async stopAndMove(name: string, run?: (vm: Sharer) => void): Promise<void> {
    if (this.#options.canStopInFault)
      await this.vm(name)
        .pause(300)
        .catch(() => undefined);
    else await this.vm(name).pause();
    this.source.vmStopped(name);
    this.source.vmStopped(name);
    await this.move(name, run);
  }

  /** Moves so many VMs, each as an access stops it. @param reached - it is time to stop the VM */
  async moveAsStopped(
    count: number,
    reached: (vm: Sharer) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<void> {
    for (let moved = 0; moved < count; moved++) {
      const isNext = (event: RegionSourceEvent) => event.kind === 'stopVm' && !this.#moved.has(event.vm);
      const next = await waitUntil('another VM is stopped', () => this.sourceEvents.find(isNext));
      if (next.kind !== 'stopVm') continue;
      await reached(this.vm(next.vm));
      await this.stopAndMove(next.vm);
    }
  }

  /** Waits for an event, which may have come. */
  async sourceEvent<K extends RegionSourceEvent['kind']>(
    kind: K,
    timeoutMs?: number,
  ): Promise<Extract<RegionSourceEvent, { kind: K }>> {
    const find = () => this.sourceEvents.find((event) => event.kind === kind);
    const found = await waitUntil(`the source has ${kind}`, find, timeoutMs === undefined ? {} : { timeoutMs });
    return found as Extract<RegionSourceEvent, { kind: K }>;
  }

  async destinationEvent<K extends RegionDestinationEvent['kind']>(
    kind: K,
  ): Promise<Extract<RegionDestinationEvent, { kind: K }>> {
    const find = () => this.destinationEvents.find((event) => event.kind === kind);
    const found = await waitUntil(`the destination has ${kind}`, find);
    return found as Extract<RegionDestinationEvent, { kind: K }>;
  }

  /** Both sides say that it is over. The destination's thread ends as soon as it has heard the release, which a cut may lose. */
  async completed(timeoutMs?: number): Promise<{ source: RegionReport; destination: RegionReport }> {
    const source = (await this.sourceEvent('completed', timeoutMs)).report;
    const destination = (await this.destinationEvent('completed')).report;
    await this.source.ended;
    return { source, destination };
  }

  /** The destination gets memory for so many pages, of which it had fewer. */
  grow(roomPages: number): void {
    this.#mount(['-o', 'remount'], roomPages);
  }

  /** Memory that a host's file takes. */
  pagesIn(host: 'source' | 'destination'): number {
    return (statSync(this.path[host]).blocks * 512) / PAGE_SIZE;
  }

  /** What all VMs have added, by page. */
  added(): number[] {
    const all = [...this.vms.values()].map((vm) => vm.added());
    return Array.from({ length: this.pages }, (_, page) => all.reduce((sum, added) => sum + added[page]!, 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const vm of this.vms.values()) vm[Symbol.dispose]();
    await this.link[Symbol.asyncDispose]();
    await this.#listener.close();
    await endThreads();
    if (this.#options.roomPages !== undefined) execFileSync('umount', [join(this.#directory, 'destination')]);
    rmSync(this.#directory, { recursive: true });
  }

  get #journal(): string {
    return join(this.#directory, 'journal-of-destination');
  }

  #mount(how: readonly string[], pages: number): void {
    const size = `size=${pages * 4}k`;
    execFileSync('mount', [...how, '-o', size, 'godwit-test', join(this.#directory, 'destination')]);
  }

  #accept(offer: Message<'offerRegion'>, takeFd: () => number): void {
    if (this.#options.refusal) throw this.#options.refusal;
    this.offers++;
    this.#group = offer.group;
    // Of one that was given up.
    rmSync(this.#journal, { force: true });
    this.#startDestination(takeFd(), null);
  }

  #startDestination(fd: number | null, resumes: readonly LeftVm[] | null): void {
    this.destination = startRegionDestination({
      group: this.#group,
      fd,
      peer: 'a',
      region: { name: 'ring', bytes: this.pages * PAGE_SIZE, path: this.path.destination },
      journal: this.#journal,
      resumes,
      hostName: 'b',
      onEvent: (event) => this.destinationEvents.push(event),
    });
    this.#isGone = false;
    const { destination } = this;
    void destination.ended.then(() => {
      this.#isGone ||= destination === this.destination;
    });
  }
}

/**
 * The VM's disks at the source: those that the destination has, and those that are copied to it.
 *
 * Owns: the copies of one migration, from the destination's answer to the stop. Must hold: each disk is either proved to be
 * the same there, or copied whole when the VM's state is saved; a copy that breaks ends the migration and never the VM, which
 * waits for a silent host no longer than a bound; nothing is deleted before the destination needs nothing any more.
 */
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { canChangeMirrors, measureWrites } from '../qemu/disk-writes.ts';
import { type KnownImage, knowImages, removeImages } from '../storage/known-image.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { mayBeCopied, type ReadyDisk } from '../wire/disk-messages.ts';
import type { Message } from '../wire/messages.ts';
import { CopiedDisk, type CopiedDiskPlan } from './copied-disk.ts';
import { CopyWatch } from './copy-watch.ts';
import { DiskCopies } from './disk-copies.ts';
import { findUnproved } from './disk-offer.ts';
import { chooseMirrorMode } from './mirror-mode.ts';
import type { DiskReport } from './report.ts';
import type { MigrationOptions } from './request.ts';
import { diskSocketPath, makeSaveDirectory } from './save-directory.ts';
import type { SourceFacts } from './source-facts.ts';
import type { SourceGuest } from './source-guest.ts';
import type { SourceLink } from './source-link.ts';

export interface SourceDisksPort {
  readonly facts: SourceFacts;
  readonly guest: SourceGuest;
  readonly link: SourceLink;
  readonly pacer: Pacer;
  /** Aborted when the migration goes back. */
  readonly signal: AbortSignal;
  readonly linkBytesPerSecond: number | null;
  options(): MigrationOptions;
  /** Written down: these images are not needed here once the VM has left. */
  keepCopied(images: readonly KnownImage[]): void;
  onProgress(): void;
  /** A copy has broken. */
  onFailed(error: GodwitError): void;
  note(text: string): void;
}

const LOOK_MS = 250;
/** What is left of a disk must fit into this part of the downtime. */
const SHARE_OF_DOWNTIME = 0.5;
const LEAST_BOUND_BYTES = 2 ** 20;
/** A VM that writes as fast as that may go on for has a copy that never ends. */
const SETTLE_MS = 15_000;

export class SourceDisks {
  readonly #port: SourceDisksPort;
  #answers: readonly ReadyDisk[] = [];
  #plans: readonly CopiedDiskPlan[] = [];
  /** Those that are on their way, or were. */
  readonly copies: DiskCopies = new DiskCopies();
  /** Their images, as they were then. */
  #copied: readonly KnownImage[] = [];
  #directory: string | undefined;
  #isBegun = false;

  constructor(port: SourceDisksPort) {
    this.#port = port;
    const stop = (): void => this.stop();
    port.signal.addEventListener('abort', stop, { once: true });
  }

  /** Until the destination has answered. */
  get mayCopy(): boolean {
    return this.#port.facts.disks?.some(mayBeCopied) ?? false;
  }

  /** Some have to be copied. */
  get isCopying(): boolean {
    return this.#plans.length > 0;
  }

  /** What the destination has found. Returns why the VM cannot move so, if so. */
  take({ host, disks = [] }: Pick<Message<'ready'>, 'host' | 'disks'>): GodwitError | undefined {
    const { facts, guest, keepCopied } = this.#port;
    const { vm, disks: offered = [] } = facts;
    const unproved = findUnproved(vm.name, host, offered, disks);
    if (unproved) return unproved;
    this.#answers = disks;
    this.#plans = disks
      .flatMap((answer, at): Omit<CopiedDiskPlan, 'index'>[] => {
        const disk = offered[at]!;
        const node = guest.facts.disks.find(({ id }) => id === disk.name)?.node;
        return answer.kind === 'copied' && node !== undefined ? [{ offered: disk, answer, node }] : [];
      })
      .map((plan, index) => ({ ...plan, index }));
    if (!this.isCopying) return undefined;
    if (this.#isBegun) {
      const reason = 'the other host wants a copy although it has let pages come already';
      return new GodwitError('GW_DISK_COPY', { disk: this.#plans[0]!.offered.name, reason });
    }
    const files = this.#plans.filter(({ offered, node }) => offered.image.kind === 'file' && this.#isWhole(node));
    this.#copied = knowImages(files.map(({ offered }) => offered.path));
    keepCopied(this.#copied);
    return undefined;
  }

  /**
   * Resolves when all of them are copied once and kept up to date. Where the destination has let pages come before it has
   * answered it has promised that there are none.
   * @throws GW_DISK_COPY, the signal's reason
   */
  async copy(): Promise<void> {
    this.#isBegun = true;
    if (!this.isCopying) return;
    const { signal, link, note } = this.#port;
    const { peer } = link.connection;
    await this.#start();
    const broken = Promise.race([aborted(signal), this.copies.failed]);
    broken.catch(() => undefined);
    using _watch = new CopyWatch({
      link,
      channels: this.copies,
      isReady: () => true,
      onSuspect: (isSuspect) => isSuspect && note(`${peer} does not answer`),
    });
    await Promise.race([broken, this.#untilReady()]);
    await this.copies.makeBlocking();
    await Promise.race([broken, this.#settle()]);
    // From here on nobody waits for them: what breaks is told.
    broken.catch((error: unknown) => {
      if (!signal.aborted) this.#port.onFailed(asGodwitError(error));
    });
  }

  /** The VM stands still: the copies are whole, and QEMU has nothing of them any more. @throws GW_DISK_COPY */
  async finish(): Promise<void> {
    await this.copies.finish();
    this.stop();
  }

  /** Nothing is sent any more. What is left in QEMU goes with `SourceGuest.restore`. */
  /** A copy has all that the image has: one that has more stays, whatever is wished. */
  #isWhole(node: string): boolean {
    const { guest, note, options } = this.#port;
    const disk = guest.facts.disks.find((each) => each.node === node);
    if (!disk || disk.besides.length === 0) return true;
    const stays = options().sourceDisks === 'delete' ? '; the image stays here' : '';
    note(`Of disk ${disk.id} is copied what the guest sees, and not ${disk.besides.join(', ')}${stays}`);
    return false;
  }

  stop(): void {
    this.copies.stop();
    if (this.#directory === undefined) return;
    rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = undefined;
  }

  /** The VM has left and needs nothing of this host any more. */
  deleteSources(): void {
    const { facts, note, options } = this.#port;
    if (options().sourceDisks === 'delete') removeImages(facts.copiedImages ?? this.#copied, note);
  }

  report(): DiskReport[] {
    const { disks: offered = [] } = this.#port.facts;
    return this.#answers.map((answer, at): DiskReport => {
      const copy = [...this.copies].find(({ plan }) => plan.answer === answer);
      if (copy) return copy.report;
      const { name, path: from, virtualBytes: bytes } = offered[at]!;
      const nothing = { wireBytes: 0, ms: 0, bytesPerSecond: 0, copyMode: null, finishMs: null };
      return { name, how: answer.kind === 'shared' ? 'shared' : 'pre-copy', from, to: answer.path, bytes, ...nothing };
    });
  }

  async #start(): Promise<void> {
    const { guest, link, pacer, signal } = this.#port;
    this.#directory = makeSaveDirectory();
    const nodes = this.#plans.map(({ node }) => node);
    const canChange = await canChangeMirrors(guest.qmp);
    const written = canChange ? nodes.map(() => 0) : await measureWrites(guest.qmp, nodes, signal);
    for (const [at, plan] of this.#plans.entries()) {
      const mode = chooseMirrorMode({
        canChange,
        writtenBytesPerSecond: written[at]!,
        linkBytesPerSecond: pacer.bytesPerSecond || this.#port.linkBytesPerSecond,
      });
      const linkFd = await link.openDisk(signal);
      const socketPath = diskSocketPath(this.#directory, plan.index);
      this.copies.add(await CopiedDisk.start(guest, plan, { linkFd, tls: link.tls, socketPath, mode, pacer }));
      signal.throwIfAborted();
    }
  }

  async #untilReady(): Promise<void> {
    const ready = this.copies.ready().then(() => true);
    ready.catch(() => undefined);
    while (!(await Promise.race([ready, delay(LOOK_MS, false)]))) await this.#look();
  }

  /** Little enough is left of each. Blocking copies are so at once. */
  async #settle(): Promise<void> {
    const untilMs = SYSTEM_CLOCK.nowMs() + SETTLE_MS;
    for (;;) {
      await this.#look();
      const late = [...this.copies].find((copy) => copy.leftBytes > this.#boundBytes(copy));
      if (!late) return;
      if (SYSTEM_CLOCK.nowMs() > untilMs) {
        const reason = `the VM writes to it faster than it can be copied: ${late.leftBytes} bytes are left again and again`;
        throw new GodwitError('GW_DISK_COPY', { disk: late.plan.offered.name, reason });
      }
      await delay(LOOK_MS);
    }
  }

  #boundBytes({ bytesPerSecond }: CopiedDisk): number {
    const ms = this.#port.options().maxDowntimeMs * SHARE_OF_DOWNTIME;
    return Math.max(LEAST_BOUND_BYTES, (bytesPerSecond * ms) / 1000);
  }

  async #look(): Promise<void> {
    this.#port.signal.throwIfAborted();
    await this.copies.look();
    this.#port.onProgress();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

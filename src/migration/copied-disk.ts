/**
 * One disk on its way to the other host: QEMU's job, and the stream that it writes to.
 *
 * Owns: both, and what was measured. Must hold: whatever ends one ends the other.
 */
import { rmSync } from 'node:fs';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { ownerOf } from '../linux/process.ts';
import { DiskMirror, type MirrorMode, type MirrorProgress } from '../qemu/disk-mirror.ts';
import { DiskRelay } from '../storage/disk-relay.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import type { Pacer } from '../transfer/pacer.ts';
import type { OfferedDisk, ReadyDisk } from '../wire/disk-messages.ts';
import type { DiskProgress } from './progress.ts';
import type { DiskReport } from './report.ts';
import type { SourceGuest } from './source-guest.ts';

export interface CopiedDiskPlan {
  readonly offered: OfferedDisk;
  readonly answer: ReadyDisk;
  /** In this QEMU. */
  readonly node: string;
  /** Of those that are copied. */
  readonly index: number;
}

export interface CopiedDiskOptions {
  /** Of a connection to the other host, which leads to its QEMU. */
  readonly linkFd: number;
  /** Behind which that connection is; null: it is a TCP connection itself. */
  readonly tls: RelayPort | null;
  /** For this disk alone. */
  readonly socketPath: string;
  readonly mode: MirrorMode;
  readonly pacer: Pacer;
}

/** A VM whose write waits for a host that says nothing goes on after this, without the copy. */
const HOLD_LIMIT_MS = 5000;

export class CopiedDisk {
  readonly plan: CopiedDiskPlan;
  readonly mirror: DiskMirror;
  readonly relay: DiskRelay;
  readonly #startedMs = SYSTEM_CLOCK.nowMs();
  #mode: MirrorMode;
  #progress: MirrorProgress = { totalBytes: 0, copiedBytes: 0, ready: false };
  #endedMs: number | undefined;
  #finishMs: number | null = null;

  private constructor(plan: CopiedDiskPlan, mirror: DiskMirror, relay: DiskRelay, mode: MirrorMode) {
    this.plan = plan;
    this.mirror = mirror;
    this.relay = relay;
    this.#mode = mode;
  }

  static async start(
    guest: SourceGuest,
    plan: CopiedDiskPlan,
    { linkFd, tls, socketPath, mode, pacer }: CopiedDiskOptions,
  ): Promise<CopiedDisk> {
    let copy: CopiedDisk | undefined;
    // A VM's own writes wait for no budget; who comes after them pays.
    const pace = (bytes: number): Promise<void> =>
      copy?.isBlocking === true ? Promise.resolve(pacer.charge(bytes)) : pacer.take(bytes);
    const relay = await DiskRelay.listen(linkFd, tls, socketPath, ownerOf(guest.identity.pid), pace);
    // QEMU does nothing else while it opens the other end.
    relay.silenceLimitMs = HOLD_LIMIT_MS;
    try {
      const { node, index, offered } = plan;
      const { name } = offered;
      const mirror = await DiskMirror.start(guest.qmp, { node, index, disk: name, exportName: name, socketPath, mode });
      copy = new CopiedDisk(plan, mirror, relay, mode);
      relay.silenceLimitMs = copy.isBlocking ? HOLD_LIMIT_MS : Number.POSITIVE_INFINITY;
      return copy;
    } catch (error) {
      relay.stop();
      throw error;
    } finally {
      // Who was to connect has.
      rmSync(socketPath, { force: true });
    }
  }

  /** What the VM writes waits for the other host. */
  get isBlocking(): boolean {
    return this.#mode === 'write-blocking';
  }

  /** Sent and received. */
  get bytes(): number {
    return this.relay.bytesSent + this.relay.bytesReceived;
  }

  /** What is known to be left to copy. */
  get leftBytes(): number {
    return Math.max(0, this.#progress.totalBytes - this.#progress.copiedBytes);
  }

  get bytesPerSecond(): number {
    const ms = Math.max(1, (this.#endedMs ?? SYSTEM_CLOCK.nowMs()) - this.#startedMs);
    return (this.relay.bytesSent * 1000) / ms;
  }

  async look(): Promise<void> {
    this.#progress = (await this.mirror.progress()) ?? this.#progress;
  }

  async makeBlocking(): Promise<void> {
    if (this.#mode !== 'write-blocking' && (await this.mirror.makeBlocking())) this.#mode = 'write-blocking';
    if (this.isBlocking) this.relay.silenceLimitMs = HOLD_LIMIT_MS;
  }

  /** The VM stands still. @throws GW_DISK_COPY */
  async finish(): Promise<void> {
    const fromMs = SYSTEM_CLOCK.nowMs();
    await this.mirror.finish();
    this.#finishMs = SYSTEM_CLOCK.nowMs() - fromMs;
    this.#progress = { ...this.#progress, copiedBytes: this.#progress.totalBytes };
    this.stop();
  }

  /** What is left of it in QEMU is taken away when the VM is put back. */
  stop(): void {
    this.#endedMs ??= SYSTEM_CLOCK.nowMs();
    this.mirror.forget();
    this.relay.stop();
  }

  get progress(): DiskProgress {
    const { totalBytes, copiedBytes } = this.#progress;
    const { name } = this.plan.offered;
    return { name, totalBytes, copiedBytes, bytesPerSecond: this.bytesPerSecond };
  }

  get report(): DiskReport {
    const { offered, answer } = this.plan;
    return {
      name: offered.name,
      how: 'pre-copy',
      from: offered.path,
      to: answer.path,
      bytes: offered.virtualBytes,
      wireBytes: this.bytes,
      ms: (this.#endedMs ?? SYSTEM_CLOCK.nowMs()) - this.#startedMs,
      bytesPerSecond: this.bytesPerSecond,
      copyMode: this.#mode,
      finishMs: this.#finishMs,
    };
  }
}

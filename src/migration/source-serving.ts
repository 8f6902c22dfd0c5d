/**
 * The source after the switchover: makes the destination have every page (V5, V6).
 *
 * Owns: the page pusher's life and its ties to the link. Must hold: pushing begins only when the destination has said
 * what it misses: by `resumed` the first time, by its list after it came back.
 */
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { PageHeat } from '../memory/page-heat.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { PagePusher } from './page-pusher.ts';
import type { SourceGuest } from './source-guest.ts';
import type { SourceLink } from './source-link.ts';
import type { SourcePacking } from './source-packing.ts';
import { PROGRESS_EVERY_MS, type SourceProgress } from './source-progress.ts';

export interface SourceServingPort {
  readonly guest: Pick<SourceGuest, 'memory'>;
  readonly link: Pick<SourceLink, 'connection' | 'isConnected' | 'drop' | 'openUrgent' | 'openPages'>;
  readonly pacer: Pacer;
  readonly packing: Pick<SourcePacking, 'channels' | 'open'>;
  readonly verify: DigestScheme | null;
  /** Of this link, as measured when the clocks were compared. */
  readonly roundTripMs: number;
  readonly progress: Pick<SourceProgress, 'say' | 'paging'>;
  /** Page requests are not answered any more; the link and the VM's pages are as they were. */
  onFailed(error: GodwitError): void;
}

export class SourceServing {
  readonly #port: SourceServingPort;
  readonly #pusher: PagePusher;
  #awaitsList = false;
  #hasPushed = false;

  constructor(port: SourceServingPort) {
    this.#port = port;
    this.#pusher = new PagePusher({
      memory: port.guest.memory,
      files: port.guest.memory.ownPaths(),
      pacer: port.pacer,
      verify: port.verify,
      roundTripMs: port.roundTripMs,
      channels: port.packing.channels,
      packing: () => port.packing.open('push'),
      onLinkLost: (reason) => port.link.drop(reason),
      onFailed: (error) => port.onFailed(error),
    });
  }

  get urgentBytes(): number {
    return this.#pusher.urgentBytes;
  }

  /**
   * Opens the urgent connection and waits until page requests are answered on it.
   * @param signal - nobody needs it any more; without one it is needed as long as the migration lives
   */
  async openUrgent(signal?: AbortSignal): Promise<void> {
    await this.#pusher.serve(await this.#port.link.openUrgent(signal));
  }

  owe(runs: readonly PageRun[], heat: PageHeat | null): void {
    this.#pusher.owe(runs, heat);
  }

  /** The link is back: the destination says first what it misses. */
  async rejoin(): Promise<void> {
    this.#awaitsList = true;
    const { link, packing } = this.#port;
    const { channels } = packing;
    await Promise.all([this.openUrgent(), link.openPages(channels.count, (fds) => channels.link(fds))]);
  }

  resumed(): void {
    if (!this.#awaitsList) this.#push();
  }

  stillMissing(runs: readonly PageRun[]): void {
    this.#awaitsList = false;
    this.#pusher.oweOnly(runs);
    this.#push();
  }

  /** Before pages are pushed none was named. */
  missed(runs: readonly PageRun[]): void {
    if (!this.#hasPushed || this.#awaitsList) return;
    this.#pusher.missed(runs);
    this.#push();
  }

  stop(): void {
    this.#pusher.stop();
  }

  #push(): void {
    const { link, progress } = this.#port;
    if (!link.isConnected) return;
    const { connection } = link;
    this.#hasPushed = true;
    progress.say({
      kind: 'paging',
      text: 'The VM runs at the destination; until the last page is there it depends on both hosts and the link (S7)',
    });
    const ticker = setInterval(() => progress.paging(this.#pusher.owedPages), PROGRESS_EVERY_MS);
    this.#pusher
      .push(connection)
      .catch((error: unknown) => connection.destroy(asGodwitError(error)))
      .finally(() => clearInterval(ticker));
  }
}

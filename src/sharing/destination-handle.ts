/**
 * The destination of a shared region, seen from the daemon's main thread. It never dials: a lost connection comes back
 * when the source has found us again.
 *
 * Owns: the handle on the thread.
 */
import type { LeftVm, RegionDestinationInput, RegionDestinationOrder } from './region-orders.ts';
import type { RegionReport } from './region-report.ts';
import { RegionThread } from './region-thread.ts';
import type { RegionDestinationHandle, RegionDestinationOptions } from './region-threads.ts';

export class DestinationHandle implements RegionDestinationHandle {
  readonly group: string;
  readonly ended: Promise<void>;
  readonly #thread: RegionThread<RegionDestinationOrder>;

  constructor({ group, fd, region, hostName, journal, resumes, onEvent }: RegionDestinationOptions) {
    this.group = group;
    const { name, bytes, path } = region;
    const place = { region: { name, bytes, path }, hostName, journal, resumes };
    const input: Omit<RegionDestinationInput, 'controlFd' | 'stop'> = { ...place, fd };
    let isRelinked = resumes !== null;
    this.#thread = new RegionThread<RegionDestinationOrder>('../sharing/region-destination-worker', input, {
      onWord(word) {
        if (word.kind === 'watching' || word.kind === 'stopVm' || word.kind === 'unmoved') return;
        if (word.kind !== 'linkBack' || isRelinked) onEvent(word);
        isRelinked ||= word.kind === 'linkBack';
      },
      onDied: (error) => onEvent({ kind: 'failed', error: error.toBody() }),
    });
    this.ended = this.#thread.exited;
  }

  async attach({ insideFd, ...vm }: LeftVm): Promise<void> {
    await this.#thread.ask({ kind: 'attach', vm, insideFd });
  }

  addConnection(fd: number): void {
    this.#thread.order({ kind: 'link', fd, answer: 'joined' });
  }

  detach(vm: string): void {
    this.#thread.order({ kind: 'detach', vm });
  }

  async report(): Promise<RegionReport> {
    return (await this.#thread.ask({ kind: 'report' }))!;
  }

  async abandon(): Promise<void> {
    this.#thread.stop();
    await this.ended;
  }

  async cancel(): Promise<void> {
    this.#thread.order({ kind: 'cancel' });
    await this.ended;
  }
}

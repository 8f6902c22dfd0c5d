/**
 * Page channels that lead nowhere: they take what they are sent and count it, until they are told to fail.
 *
 * Must hold: as real ones, they fail every send from the first failure on.
 */
import { countPages, PAGE_SIZE, type PageIndex } from '../../src/base/page.ts';
import type { PageChannel } from '../../src/migration/page-channel-thread.ts';
import type { SendJob, SendResult } from '../../src/migration/page-channel-words.ts';
import { PAGES_OF_ONE_CHANNEL, type PageCarrier } from '../../src/migration/page-channels.ts';
import { closedBy } from '../../src/transfer/connection.ts';

export interface SinkOptions {
  /** So many frames succeed. */
  readonly sends?: number;
  readonly channels?: number;
  /** Pages before this one are zero. */
  readonly zeroPages?: number;
}

export class SinkChannels implements PageCarrier {
  readonly unacknowledgedBytes = 0;
  readonly jobs: SendJob[][];
  bytesSent = 0;
  readonly #zeroPages: number;
  readonly #delivered = new Set<PageIndex>();
  #sendsLeft: number;

  constructor({ sends = Number.POSITIVE_INFINITY, channels = 1, zeroPages = 0 }: SinkOptions = {}) {
    this.#sendsLeft = sends;
    this.#zeroPages = zeroPages;
    this.jobs = Array.from({ length: channels }, () => []);
  }

  get openCount(): number {
    return this.jobs.length;
  }

  free(_depth: number, only?: PageChannel): Promise<PageChannel> {
    if (only) return Promise.resolve(only);
    const least = this.jobs.reduce((best, list, i) => (list.length < this.jobs[best]!.length ? i : best), 0);
    return Promise.resolve(this.#channel(least));
  }

  channelOf(page: PageIndex): PageChannel {
    return this.#channel(Math.floor(page / PAGES_OF_ONE_CHANNEL) % this.jobs.length);
  }

  readonly #channels = new Map<number, PageChannel>();

  #channel(number: number): PageChannel {
    const known = this.#channels.get(number);
    if (known) return known;
    const channel = { jobs: 0, send: (job: SendJob) => this.#send(number, job) };
    this.#channels.set(number, channel);
    return channel;
  }

  async #send(number: number, job: SendJob): Promise<SendResult> {
    if (this.#sendsLeft-- <= 0) throw closedBy('nobody', 'closed here');
    this.jobs[number]!.push(job);
    let zeroPages = 0;
    let resentPages = 0;
    for (const { first, count } of job.runs) {
      for (let page = first; page < first + count; page++) {
        if (page < this.#zeroPages) zeroPages++;
        else if (this.#delivered.has(page)) resentPages++;
        else this.#delivered.add(page);
      }
    }
    const pages = countPages(job.runs) - zeroPages;
    const bytes = pages * PAGE_SIZE;
    this.bytesSent += bytes;
    return { pages, zeroPages, resentPages, bytes, frames: 1, outcome: undefined };
  }
}

// What the sender takes of a bandwidth limit, with its packing threads and a connection that leads nowhere.
import { expect, test } from 'vitest';
import { SinkConnection } from '../../test/support/sink-connection.ts';
import { PACKING_STEPS } from '../base/packing-step.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';
import { PackThreads } from '../transfer/pack-threads.ts';
import { NOTHING_PACKED, Packing } from '../transfer/packing.ts';
import { createSentLines } from '../transfer/sent-lines.ts';
import { PageSender } from './page-sender.ts';

const PAGES = 1024;
/** So far away that nothing waits for it. */
const LIMIT_BYTES_PER_SECOND = 1e12;

class CountingPacer extends Pacer {
  bytes = 0;

  override take(bytes: number): Promise<void> {
    this.bytes += bytes;
    return super.take(bytes);
  }

  override charge(bytes: number): void {
    this.bytes += bytes;
    super.charge(bytes);
  }
}

/** Pages that are like text, none like another. */
const MEMORY = {
  layout: { pageCount: PAGES },
  readPages({ first, count }: PageRun, into: Uint8Array) {
    for (let i = 0; i < count * PAGE_SIZE; i++) into[i] = 32 + ((first + (i >>> 12) + (i >>> 5)) & 63);
  },
};

async function sendAll(isPacked: boolean): Promise<{ pacedBytes: number; sentBytes: number }> {
  using threads = new PackThreads(1, 3, createSentLines(PAGES, PAGES * 516));
  const packing = new Packing(threads, {
    // So slow that packing pays on the busiest machine.
    conditions: () => ({ bytesPerSecond: 1e6, isIdle: false, cpus: 2, nowMs: 0 }),
    codecs: ['zstd'],
    steps: new Set(PACKING_STEPS),
    parallel: 1,
    densestLevel: 1,
    counts: { ...NOTHING_PACKED },
  });
  const connection = new SinkConnection();
  const pacer = new CountingPacer(LIMIT_BYTES_PER_SECOND);
  const sender = new PageSender(MEMORY as never, connection, pacer, isPacked ? packing : undefined);
  const { signal } = new AbortController();
  // Past the batches that go raw to see what the link can take.
  for (let i = 0; i < 5; i++) await sender.send([{ first: 0, count: 1 }], { signal });
  const before = connection.bytesSent;
  expect(pacer.bytes).toBe(before);
  await sender.send([{ first: 1, count: PAGES - 1 }], { signal });
  return { pacedBytes: pacer.bytes - before, sentBytes: connection.bytesSent - before };
}

test('a bandwidth limit is of what is sent, not of what it was before', async () => {
  const { pacedBytes, sentBytes } = await sendAll(true);
  expect(sentBytes).toBeLessThan((PAGES * PAGE_SIZE) / 2);
  expect(pacedBytes).toBe(sentBytes);
});

test('and of all that is sent, frames included', async () => {
  const { pacedBytes, sentBytes } = await sendAll(false);
  expect(sentBytes).toBeGreaterThan((PAGES - 1) * PAGE_SIZE);
  expect(pacedBytes).toBe(sentBytes);
});

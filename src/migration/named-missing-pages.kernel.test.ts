// Pages that are pushed to a VM that runs at the destination and are only named: what is not held there comes after all.
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { ChannelPair } from '../../test/support/channel-pair.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { UFFD_FEATURE_MISSING_SHMEM } from '../linux/abi/userfaultfd.ts';
import { RamFile } from '../linux/ram-file.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { ContentIndexBuilder } from '../memory/content-index.ts';
import { ContentStore } from '../memory/content-store.ts';
import { FileImage } from '../memory/file-image.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { createMissingPages, PageInstaller } from '../memory/page-installer.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { endThreads } from './child-threads.ts';
import { SourceServing } from './source-serving.ts';

const PAGES = 512;
const BYTES = PAGES * PAGE_SIZE;
const ALL: PageRun = { first: 0, count: PAGES };
/** The first ones are held; of all others the filter only says so. */
const HELD_PAGES = 40;
const KEY = new Uint8Array(32).fill(7);

let resources: AsyncDisposableStack;
beforeEach(() => {
  resources = new AsyncDisposableStack();
});
afterEach(async () => {
  await resources.disposeAsync();
  await endThreads();
});

/** No page like another. */
function contentsOfAll(): Uint8Array {
  const words = new Uint32Array(BYTES / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1) ^ (i >>> 3);
  return new Uint8Array(words.buffer);
}

async function lyingStore(contents: Uint8Array): Promise<ContentStore> {
  const directory = resources.use(new TempDirectory());
  writeFileSync(directory.join('image'), contents.subarray(0, HELD_PAGES * PAGE_SIZE));
  const fingerprint = new PageFingerprint(KEY);
  const index = new ContentIndexBuilder(HELD_PAGES);
  for (let page = 0; page < HELD_PAGES; page++) index.add(page, fingerprint.of(contents, page * PAGE_SIZE));
  const image = new FileImage(directory.join('image'));
  const store = resources.use(await ContentStore.of(fingerprint, [{ index: index.finish(), image }]));
  for (let page = 0; page < PAGES; page++) store.filter.add(fingerprint.of(contents, page * PAGE_SIZE));
  return store;
}

requireCapability('kernel', 'cc')('missing pages that are named', () => {
  test('come after all where the destination does not hold them, whatever it has said', async () => {
    const pig = resources.use(await GuineaPig.start(PAGES));
    const uffd = resources.use(
      Userfaultfd.openInside(pig.pid, { features: UFFD_FEATURE_MISSING_SHMEM, keepInside: true }),
    );
    uffd.register(pig.start, BYTES, { missing: true });
    const asked: PageRun[] = [];
    const failures: GodwitError[] = [];
    const pair = resources.use(
      await ChannelPair.open({
        channels: 2,
        regions: [PAGES],
        onNotHeld(runs) {
          asked.push(...runs);
          serving.missed(runs);
        },
      }),
    );
    const contents = contentsOfAll();
    pair.source.memory.writePages(ALL, contents);
    pair.hold(await lyingStore(contents), KEY);
    const pages = createMissingPages(PAGES);
    const installer = new PageInstaller(pages, pair.source.memory.layout, [pig.start], uffd);
    installer.expect([ALL]);
    pair.arrivals.page({ pid: pig.pid, insideFd: uffd.insideFd!, starts: [pig.start], pages });
    const sockets = resources.use(await SocketPair.open());
    const connection = StreamConnection.fromFd(sockets.take('near'), {
      ...{ peer: 'far', peerRole: 'destination', preface: 'seen' },
    });
    resources.defer(() => connection.destroy());
    const nobody = (): Promise<never> => Promise.reject(new Error('there is no other host'));
    const serving = new SourceServing({
      guest: pair.source,
      link: {
        connection,
        isConnected: true,
        drop: (reason) => failures.push(reason),
        openUrgent: nobody,
        openPages: nobody,
      },
      pacer: pair.pacer,
      packing: { channels: pair.channels, open: () => pair.packing },
      verify: null,
      roundTripMs: 1,
      progress: { say: () => undefined, paging: () => undefined },
      onFailed: (error) => failures.push(error),
    });
    resources.defer(() => serving.stop());
    serving.owe([ALL], null);
    serving.resumed();
    await waitUntil('no page is missing', () => installer.remaining === 0);
    using ram = RamFile.open(pig.path, BYTES);
    const arrived = new Uint8Array(BYTES);
    ram.read(0, arrived);
    expect(Buffer.compare(arrived, contents)).toBe(0);
    // A step that is better sent as it is names nothing; what is not held is named once.
    const unheld = new PageBitmap(PAGES);
    unheld.addRuns(asked);
    expect(unheld.count()).toBeGreaterThan(0);
    expect(unheld.next(0)).toBeGreaterThanOrEqual(HELD_PAGES);
    expect(countPages(asked)).toBe(unheld.count());
    expect([...failures, ...pair.failures]).toEqual([]);
  });
});

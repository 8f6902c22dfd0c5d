import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { identifyProcess } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { ContentIndexBuilder, writeContentIndex } from '../memory/content-index.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { fleetFeature } from './fingerprint-keys.ts';
import { DUPLICATES_FEATURE, openHeldContents } from './held-contents.ts';
import { scanVm } from './live-contents.ts';
import { VisitStore } from './visit-store.ts';

const KEY = 'ab'.repeat(32);
const FINGERPRINT = new PageFingerprint(Buffer.from(KEY, 'hex'));
const OWN = '00000000-0000-0000-0000-000000000001';
const OTHER = '00000000-0000-0000-0000-000000000002';
/** Of each image; each value is another page. */
const PAGES = 10;
const OWN_PAGE = 1;
const OTHERS_PAGE = 2;
const LIVE_PAGE = 3;
/** Less is taken for no RAM. */
const RAM_PAGES = 256;

function pagesOf(value: number): Uint8Array {
  const pages = new Uint8Array(PAGES * PAGE_SIZE).fill(value);
  for (let page = 0; page < PAGES; page++) pages[page * PAGE_SIZE] = page;
  return pages;
}

let directory: TempDirectory;
beforeEach(() => {
  directory = new TempDirectory();
});
afterEach(() => directory[Symbol.dispose]());

function leave(uuid: string, value: number): void {
  const contents = pagesOf(value);
  const paths = new VisitStore({ directory: directory.join('visits'), budgetBytes: 2 ** 30 }).begin(
    uuid,
    contents.length,
  );
  writeFileSync(paths!.imagePath, contents);
  const index = new ContentIndexBuilder(PAGES);
  for (let page = 0; page < PAGES; page++) index.add(page, FINGERPRINT.of(contents, page * PAGE_SIZE));
  writeContentIndex(paths!.indexPath, index.finish(), FINGERPRINT);
}

/** Which of the three are held, where there is room for so many pages. */
async function heldWith(roomPages?: number): Promise<number[]> {
  const policy = {
    visits: { directory: directory.join('visits'), budgetBytes: 2 ** 30 },
    liveDirectory: directory.join('live'),
    arrivedDirectory: directory.join('arrived'),
    fleetKey: KEY,
    sent: null,
  };
  const newcomer = { uuid: OWN, vmKey: KEY, features: [DUPLICATES_FEATURE, fleetFeature(KEY)] };
  const warn = (text: string): never => {
    throw new Error(text);
  };
  using held = await openHeldContents(newcomer, policy, warn, roomPages);
  const into = new Uint8Array(PAGE_SIZE);
  return [OWN_PAGE, OTHERS_PAGE, LIVE_PAGE].filter((value) =>
    held?.store.fetch(FINGERPRINT.of(pagesOf(value), 0), into),
  );
}

requireCapability('kernel', 'cc')('what a host holds', () => {
  test('is chosen, where there is not room for all: the VM itself, VMs that run, those that have left', async () => {
    await using pig = await GuineaPig.start(RAM_PAGES);
    using ram = RamFile.open(pig.path, RAM_PAGES * PAGE_SIZE);
    ram.write(0, pagesOf(LIVE_PAGE));
    scanVm(directory.join('live'), identifyProcess(pig.pid)!, FINGERPRINT, () => undefined);
    leave(OTHER, OTHERS_PAGE);
    leave(OWN, OWN_PAGE);
    expect(await heldWith()).toEqual([OWN_PAGE, OTHERS_PAGE, LIVE_PAGE]);
    expect(await heldWith(3 * PAGES - 1)).toEqual([OWN_PAGE, LIVE_PAGE]);
    expect(await heldWith(2 * PAGES - 1)).toEqual([OWN_PAGE]);
    expect(await heldWith(PAGES - 1)).toEqual([]);
  });
});

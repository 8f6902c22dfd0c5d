/** VMs that move over TLS, with somebody on the way who listens to all of it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
} from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TlsHosts } from '../support/tls-hosts.ts';

checkLeaks();

const WORKING_PAGES = 1024;
/** Pages that the guest never touches again, each with contents of its own. */
const STILL_PAGES = 2048;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES + STILL_PAGES, randomWords: 1024 };
/** From the middle of a page. */
const MARK_BYTES = 64;

let hosts: TlsHosts;
let directories: { a: string; b: string };
let pair: HostPair;

requireCapability('vm')('over TLS', () => {
  beforeAll(async () => {
    hosts = await TlsHosts.create();
    directories = { a: await hosts.certify('a'), b: await hosts.certify('b') };
    pair = await HostPair.open({ args: ['--tls', directories.a] }, { args: ['--tls', directories.b] });
    await createTinyVm(pair.a, { name: 'secret', guest: { pageCount: WORKING_PAGES, delay: 10_000, fill: FILL } });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await hosts?.[Symbol.asyncDispose]();
  });

  test.each(
    withFurther<MigrationMode>(['hybrid'], ['pre-copy', 'post-copy']),
  )('%s keeps every page and shows none', async (mode) => {
    await pair.bring('secret', pair.a);
    const marks = await marksOf();
    const heard: Buffer[] = [];
    pair.link.tap((piece) => heard.push(Buffer.from(piece)));
    // As they are, so that they would be found.
    const without = ['unchanged', 'duplicates', 'delta', 'compress'] as const;
    const request = { to: pair.link.address, mode, verify: true, without: [...without], connections: 2 };
    const report = completedReport(await beginMigration(pair.a, 'secret', request).then(({ ended }) => ended));
    pair.link.tap(() => undefined);
    expect(report.verify).toMatchObject({ equal: true });
    await isFree(pair.b, 'secret');
    using guest = await openTinyGuest(pair.b, 'secret');
    await guest.pagesWritten(50);
    const wire = Buffer.concat(heard);
    expect(wire.length).toBeGreaterThan(FILL.pageCount * PAGE_SIZE);
    expect(marks.filter((mark) => wire.includes(mark))).toEqual([]);
  });

  test('a certificate that is renewed is shown at the next connection, by a daemon that runs on', async () => {
    await pair.bring('secret', pair.a);
    const { pid, tls: earlier } = await pair.b.client.host();
    expect(earlier?.names).toEqual(['b', '127.0.0.1']);
    await hosts.certify('b', ['127.0.0.1', 'b.example']);
    completedReport(await pair.move('secret'));
    expect(await pair.b.client.host()).toMatchObject({ pid, tls: { names: ['b', 'b.example', '127.0.0.1'] } });
    expect(pair.b.host.log).toContain('the migration port shows another certificate from now on');
  });
});

/** What is in some pages that do not change. */
async function marksOf(): Promise<Buffer[]> {
  using guest = await openTinyGuest(pair.a, 'secret');
  return Array.from({ length: 16 }, (_, index) => {
    const page = FIRST_USABLE_PAGE + WORKING_PAGES + index * 64;
    const mark = Buffer.alloc(MARK_BYTES);
    guest.ram.read(page * PAGE_SIZE + PAGE_SIZE / 2, mark);
    expect(mark.some((byte) => byte !== 0)).toBe(true);
    return mark;
  });
}

/** The dashboard as a person uses it: real Chromium, real daemons, a real VM and the pictures that people look at (.cache/dashboard). */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GodwitClient } from '../../src/client/godwit-client.ts';
import { requireCapability } from '../support/capability.ts';
import { LOOKS, overflowOf, TestBrowser, takePicture } from '../support/chromium.ts';
import { TestController } from '../support/godwit-controller.ts';
import { startHost, type TestHost } from '../support/godwit-host.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { CALM, tinyVmBody } from '../support/tiny-vm.ts';

checkLeaks();

let a: TestHost;
let b: TestHost;
let browser: TestBrowser;
let client: GodwitClient;

requireCapability('vm', 'browser')('the dashboard', () => {
  beforeAll(async () => {
    execFileSync('sh', [fileURLToPath(new URL('../../scripts/build-dashboard', import.meta.url))]);
    [b, browser] = await Promise.all([startHost({ name: 'b' }), TestBrowser.open()]);
    a = await startHost({ name: 'a', args: ['--peer', `b=${b.migration}`, '--sample-every', '1s'] });
    client = new GodwitClient({ url: a.api });
    await Promise.all([
      client.createVm(tinyVmBody(a.directory, { name: 'web1', guest: CALM })),
      client.createVm(tinyVmBody(a.directory, { name: 'legacy', guest: CALM, qemuArgs: ['-snapshot'] })),
    ]);
  });

  afterAll(async () => {
    await client?.close();
    await browser?.[Symbol.asyncDispose]();
    await a?.[Symbol.asyncDispose]();
    await b?.[Symbol.asyncDispose]();
  });

  test('serves its page with a strict policy, hashed names for ever, and nothing beside its files', async () => {
    const page = await fetch(`${a.api}/`);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('cache-control')).toBe('no-cache');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=/);
    const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(html)![1]!;
    const asset = await fetch(`${a.api}/${script}`);
    expect(asset.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(asset.headers.get('cache-control')).toContain('immutable');
    const etag = asset.headers.get('etag')!;
    expect((await fetch(`${a.api}/${script}`, { headers: { 'if-none-match': etag } })).status).toBe(304);
    for (const path of ['assets/../index.html', 'assets/%2e%2e/%2e%2e/package.json', 'assets/nothing.js', 'assets/']) {
      expect((await fetch(`${a.api}/${path}`)).status, path).not.toBe(200);
    }
  });

  test('a migration is started by the keyboard, watched to its end, and its report read', async () => {
    const page = await browser.page(a.api);
    const row = page.getByRole('row', { name: /web1/ });
    await row.getByText('running').waitFor();
    await tabTo(page, 'Migrate… web1');
    await page.keyboard.press('Enter');
    await page.getByText('Nothing is in the way: b can take web1.').waitFor();
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Migrate web1');
    await tabTo(page, 'Over within');
    await page.keyboard.type('soon');
    await tabTo(page, 'Start the migration');
    await page.keyboard.press('Enter');
    await page.getByText('Give a duration such as 50ms, 30s or 5m').waitFor();
    await page.keyboard.press('Shift+Tab');
    await page.getByLabel('Over within').fill('');
    await tabTo(page, 'Start the migration');
    await page.keyboard.press('Enter');
    await page.getByText('web1 runs on b now.').waitFor();
    const [migration] = await client.listMigrations();
    expect(migration).toMatchObject({ vm: 'web1', state: 'completed' });
    for (const title of ['Downtime', 'Memory', 'Predicted and actual', 'Rounds']) {
      await page.getByRole('heading', { name: title, exact: true }).waitFor();
    }
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('row', { name: /web1 to b completed/ }).waitFor();
    expect(await page.getByRole('link', { name: 'Migrate… web1' }).count()).toBe(0);
    await page.context().close();
  });

  test('a VM that cannot move is not started, and the page says why and what to do', async () => {
    const page = await browser.page(a.api);
    await page.getByRole('link', { name: 'Migrate… legacy' }).click();
    await page.getByText('2 things in the way').waitFor();
    await page.getByText('Start the VM without -snapshot and snapshot=on.').waitFor();
    expect(await page.getByRole('button', { name: 'Start the migration' }).isDisabled()).toBe(true);
    const refused = await client.migrateAndWait('legacy', { to: b.migration });
    await page.goto(`${a.api}/#/migrations/${refused.id}`);
    await page.getByText('It was refused. legacy runs on at a as before.').waitFor();
    await page.context().close();
  });

  test('a migration is tuned and cancelled from its page, which follows it by itself', async () => {
    const vm = 'slow1';
    await client.createVm(tinyVmBody(a.directory, { name: vm, memoryMiB: 128, guest: { pageCount: 16_000 } }));
    const page = await browser.page(a.api);
    const { id } = await client.migrate(vm, {
      to: 'b',
      mode: 'pre-copy',
      bandwidthBytesPerSecond: 500_000,
      // Its pages are much alike, and it would be there at once.
      without: ['unchanged', 'duplicates', 'delta', 'compress'],
    });
    await page.goto(`${a.api}/#/vms/${vm}`);
    await page.getByRole('link', { name: 'Watch its migration' }).click();
    await page.getByText('Copying memory').waitFor();
    await page.getByRole('img', { name: /^Sends / }).waitFor();
    await page.getByLabel('Bandwidth at most').fill('1MiB/s');
    await page.getByRole('button', { name: 'Change the limits' }).click();
    await page.getByText('Changed.').waitFor();
    expect((await client.showMigration(id)).options?.bandwidthBytesPerSecond).toBe(2 ** 20);
    await takePicture(page, 'live-desk');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText(`It was cancelled. ${vm} runs on at a as before.`).waitFor();
    await page.context().close();
  });

  test('VMs that share memory move from the row of their group, one by one, and their way is told', async () => {
    for (const name of ['left', 'right']) {
      const sharedMemory = [{ name: 'bus', sizeBytes: 2 ** 20 }];
      await client.createVm(tinyVmBody(a.directory, { name, sharedMemory, guest: { pageCount: 64, ...CALM } }));
    }
    const page = await browser.page(a.api);
    await tabTo(page, 'Migrate… group bus');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Migrate group bus' }).waitFor();
    await page.getByLabel('Begins with').selectOption('right');
    await page.getByLabel('Over within').fill('soon');
    await page.getByRole('button', { name: 'Start the migration' }).click();
    await page.getByText('Give a duration such as 50ms, 30s or 5m').waitFor();
    await page.getByLabel('Over within').fill('');
    await takePicture(page, 'group-desk');
    // Somebody has a name there already: the host says so, and nothing has moved.
    const other = new GodwitClient({ url: b.api });
    await other.createVm(tinyVmBody(b.directory, { name: 'left', guest: { pageCount: 64, ...CALM } }));
    await page.getByRole('button', { name: 'Start the migration' }).click();
    const row = page.getByRole('row', { name: /bus to b/ });
    await row.getByText('failed', { exact: true }).waitFor();
    await other.actOnVm('left', 'kill');
    await other.removeVm('left');
    await page.getByRole('link', { name: 'Migrate… group bus' }).click();
    await page.getByLabel('Begins with').selectOption('right');
    await page.getByRole('button', { name: 'Start the migration' }).click();
    await page.getByRole('row', { name: /bus to b completed/ }).waitFor({ timeout: 60_000 });
    for (const vm of ['left', 'right']) {
      await other.actOnVm(vm, 'kill');
      await other.removeVm(vm);
    }
    await other.close();
    await page.context().close();
  });

  test('asks for the token where the host wants one', async () => {
    // No token of this host: the page is told so by the same answer as where none is given.
    const page = await browser.page(a.api);
    await page.evaluate("sessionStorage.setItem('godwit.token', 'wrong')");
    await page.reload();
    await page.getByLabel('Token').waitFor();
    await page.getByText('This token does not count here.').waitFor();
    await page.context().close();
  });

  test('a host is evacuated from the page of its fleet, by its plan', async () => {
    const fleet = a.directory.join('fleet.yaml');
    const known = Object.fromEntries([a, b].map(({ name, api }) => [name, { api, rate: '1Gbit/s' }]));
    writeFileSync(fleet, JSON.stringify({ hosts: known }));
    await using controller = await TestController.open({ name: 'ctl', fleet });
    const page = await browser.page(controller.api);
    await page.getByRole('link', { name: 'Evacuate… b' }).click();
    await page.getByRole('button', { name: 'Evacuate b: move 1 VM' }).waitFor();
    await page.getByText('web1 goes to a now', { exact: false }).waitFor();
    await takePicture(page, 'real-plan');
    await tabTo(page, 'Evacuate b: move 1 VM');
    await page.keyboard.press('Enter');
    await page.getByText('All VMs have left b.').waitFor();
    await takePicture(page, 'real-evacuation');
    expect((await client.listVms()).map(({ name }) => name)).toContain('web1');
    // The report is the host's own, by way of the controller.
    await page.getByRole('link', { name: 'web1' }).click();
    await page.getByText('web1 runs on', { exact: false }).waitFor();
    await page.getByRole('heading', { name: 'Predicted and actual' }).waitFor();
    await page.context().close();
  });

  test('fits a desk and a phone, light and dark', async () => {
    const [{ id } = { id: '' }] = (await client.listMigrations()).filter(({ state }) => state === 'completed');
    const places = {
      overview: '#/',
      vm: '#/vms/legacy',
      migrate: '#/vms/legacy/migrate',
      report: `#/migrations/${id}`,
    };
    const backgrounds = new Set<string>();
    const page = await browser.page(a.api);
    for (const { theme, width } of LOOKS) {
      await page.setViewportSize({ width, height: 844 });
      await page.emulateMedia({ colorScheme: theme });
      backgrounds.add(await page.evaluate('getComputedStyle(document.documentElement).backgroundColor'));
      for (const [name, place] of Object.entries(places)) {
        await page.goto(`${a.api}/${place}`);
        await page.locator('.panel').first().waitFor();
        expect(await overflowOf(page), `${name} ${theme} ${width}`).toBeLessThanOrEqual(0);
        await takePicture(page, `${name}-${theme}-${width}`);
      }
    }
    await page.context().close();
    expect(backgrounds.size).toBe(2);
  });

  test('asks nobody but its own host, and nothing was against its policy', () => {
    expect(browser.faults).toEqual([]);
  });
});

/** Presses Tab until what has this name has the focus; throws when it goes round without. */
async function tabTo(page: Page, name: string): Promise<void> {
  const MOST = 60;
  for (let press = 0; press < MOST; press++) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(
      '(() => { const e = document.activeElement; return e.labels?.[0]?.textContent ?? e.textContent; })()',
    );
    if (focused === name) return;
  }
  throw new Error(`No Tab leads to ${name}`);
}

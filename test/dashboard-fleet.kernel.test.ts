/** The dashboard of a fleet, in real Chromium, over a controller's API with a fleet that is made up. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireCapability } from './support/capability.ts';
import { LOOKS, overflowOf, TestBrowser, takePicture } from './support/chromium.ts';
import { ScriptedFleet } from './support/scripted-fleet.ts';

const PLACES = {
  fleet: '#/',
  plan: '#/evacuate/a',
  evacuation: '#/evacuations/e1f2',
  evacuations: '#/evacuations',
  common: '#/alike',
  balance: '#/balance',
  maintenance: '#/maintenance/c',
};

let fleet: ScriptedFleet;
let browser: TestBrowser;

requireCapability('browser')('the dashboard of a fleet', () => {
  beforeAll(async () => {
    [fleet, browser] = await Promise.all([ScriptedFleet.open(), TestBrowser.open()]);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await fleet?.[Symbol.asyncDispose]();
  });

  test('a host is evacuated: its plan is shown, begun, followed, and what stays says why', async () => {
    const page = await browser.page(fleet.url);
    await page.getByRole('article', { name: 'Host d' }).getByText('does not answer').waitFor();
    await page.getByRole('link', { name: 'Evacuate… a' }).click();
    await page.getByText('db1 waits for its quiet phase (94 % fewer writes than now)').waitFor();
    await page.getByText('1 VM would stay').waitFor();
    await page.getByRole('button', { name: 'Evacuate a: move 7 VMs' }).click();
    await page.getByRole('heading', { name: 'Evacuation of host a' }).waitFor();
    const row = page.getByRole('listitem').filter({ hasText: 'web1' }).first();
    await row.getByText('on its way').waitFor();
    fleet.advance();
    await row.getByText('arrived', { exact: true }).waitFor();
    await page.getByText('1 of 8', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('It was cancelled.').waitFor();
    await page.context().close();
  });

  test('a plan says what would stay, and that its deadline would be missed', async () => {
    const page = await browser.page(fleet.url);
    await page.goto(`${fleet.url}/#/evacuate/a`);
    await page.getByText('queue1 is parked (by the policy pinned it stays').waitFor();
    expect(await page.getByText('The deadline would be missed').count()).toBe(0);
    await page.getByLabel('All there within').fill('10s');
    await page.getByText('The deadline would be missed').waitFor();
    await page.getByText('build1 would be there up to').waitFor();
    await page.context().close();
  });

  test('what VMs of a host have in common is shown in pages and within them', async () => {
    const page = await browser.page(fleet.url);
    await page.goto(`${fleet.url}/#/alike`);
    await page.getByTitle('web1 and web2: 86 %').first().waitFor();
    await page.getByTitle('web1 and web2: 86 %').first().focus();
    await page.getByText('web1 and web2: 86 %', { exact: true }).waitFor();
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('paragraph').getByText('web1 itself').waitFor();
    // One cell is in the order of Tab, and it is the one that was chosen last.
    expect(await page.locator('.matrix td[tabindex="0"]').getAttribute('title')).toBe('web1 itself');
    await page.getByTitle('web2 and web1: 86 %').click();
    await page.getByText('web2 and web1: 86 %', { exact: true }).waitFor();
    expect(await page.getByLabel('Compared in').count()).toBe(0);
    await page.getByLabel('VMs of').selectOption('a');
    await page.getByLabel('Compared in').selectOption('64');
    await page.getByTitle('web1 and db1: 73 %').first().waitFor();
    await page.getByLabel('Compared in').selectOption('1024');
    await page.getByTitle('web1 and db1: 40 %').first().waitFor();
    await takePicture(page, 'common-within-light-1280');
    await page.context().close();
  });

  test('asks for the token where one is wanted, keeps it in the tab only, and forgets it when told', async () => {
    await using closed = await ScriptedFleet.open('secret');
    const page = await browser.page(closed.url);
    await page.getByLabel('Token').fill('guess');
    await page.keyboard.press('Enter');
    await page.getByText('This token does not count here.').waitFor();
    await page.getByLabel('Token').fill('secret');
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'Host a' }).waitFor();
    expect(await page.evaluate('JSON.stringify(localStorage) + document.cookie')).not.toContain('secret');
    await page.reload();
    await page.getByRole('article', { name: 'Host a' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    await page.context().close();
  });

  test('with a token that may only read everything is shown, and an action says which right it lacks', async () => {
    await using shown = await ScriptedFleet.open('secret', ['read']);
    const page = await browser.page(shown.url);
    await page.getByLabel('Token').fill('secret');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Evacuate… a' }).click();
    await page.getByText('db1 waits for its quiet phase').waitFor();
    await page.getByRole('button', { name: 'Evacuate a: move 7 VMs' }).click();
    await page.getByText('lacks the right migrate-send').waitFor();
    await page.getByText('add migrate-send to the rights of test').waitFor();
    await page.context().close();
  });

  test('the theme can be chosen, and stays', async () => {
    const page = await browser.page(fleet.url);
    const background = (): Promise<string> =>
      page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    const light = await background();
    await page.getByLabel('Theme').selectOption('dark');
    const dark = await background();
    expect(dark).not.toBe(light);
    await page.reload();
    expect(await background()).toBe(dark);
    await page.context().close();
  });

  test('fits a desk and a phone, light and dark', async () => {
    const page = await browser.page(fleet.url);
    for (const look of LOOKS) {
      await page.setViewportSize({ width: look.width, height: 844 });
      await page.emulateMedia({ colorScheme: look.theme });
      for (const [name, place] of Object.entries(PLACES)) {
        await page.goto(`${fleet.url}/${place}`);
        await page.locator('.panel, .notice').first().waitFor();
        expect(await overflowOf(page), `${name} ${JSON.stringify(look)}`).toBeLessThanOrEqual(0);
        await takePicture(page, `${name}-${look.theme}-${look.width}`);
      }
    }
    await page.context().close();
  });

  test('asks nobody but its controller, and nothing was against its policy', () => {
    expect(browser.faults).toEqual([]);
  });
});

/**
 * A real Chromium for tests of the dashboard.
 *
 * Must hold: what a page asks of anybody but its own server is noted, and so are its errors and what its security policy
 * refused: `faults` is empty in a test that passes.
 */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { findChromium } from './capability.ts';
import { withFurther } from './further-cases.ts';

export interface Look {
  readonly theme: 'light' | 'dark';
  readonly width: number;
}

/** Both themes, a desk and a phone; what a theme changes is no size. */
export const LOOKS: readonly Look[] = withFurther<Look>(
  [
    { theme: 'light', width: 1280 },
    { theme: 'dark', width: 390 },
  ],
  [
    { theme: 'dark', width: 1280 },
    { theme: 'light', width: 390 },
  ],
);

const HEIGHT = 844;
/** A machine with many tests on it is slow. */
const TIMEOUT_MS = 30_000;
const PICTURES = fileURLToPath(new URL('../../.cache/dashboard/', import.meta.url));

export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  /** What no page may do; see the header. */
  readonly faults: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async open(): Promise<TestBrowser> {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
    return new TestBrowser(await chromium.launch({ executablePath: findChromium(), args }));
  }

  /** A page of the server, with a session of its own. */
  async page(server: string, look: Look = LOOKS[0]!): Promise<Page> {
    const context: BrowserContext = await this.#browser.newContext({
      viewport: { width: look.width, height: HEIGHT },
      colorScheme: look.theme,
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(TIMEOUT_MS);
    const page = await context.newPage();
    page.on('request', (request) => {
      if (!request.url().startsWith(`${server}/`)) this.faults.push(`asked ${request.url()}`);
    });
    page.on('pageerror', (error) => this.faults.push(`error ${error.message}`));
    page.on('console', (message) => {
      // Chromium notes each refused answer of the API as well, which a test may be about.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        this.faults.push(`console ${message.text()}`);
      }
    });
    await page.goto(`${server}/`);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** The page as a picture in .cache/dashboard, for people to look at. */
export async function takePicture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.evaluate('scrollTo(0, 0)');
  await page.screenshot({ path: `${PICTURES}${name}.png`, fullPage: true });
}

/** By how many pixels the page is wider than the window. */
export async function overflowOf(page: Page): Promise<number> {
  return await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

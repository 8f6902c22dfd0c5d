/** `godwit host` as whoever runs it sees it: what it writes where. */
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from './support/capability.ts';
import { collectOutput, spawnGodwit } from './support/godwit-cli.ts';
import { checkLeaks } from './support/leak-check.ts';
import { TempDirectory } from './support/temp-directory.ts';
import { waitUntil } from './support/wait-until.ts';

checkLeaks();

let state: TempDirectory;

/** What it has written to stderr when it has become ready and was stopped. */
async function runHost(...args: readonly string[]): Promise<string> {
  const ports = ['--listen', '127.0.0.1:0', '--migration-listen', '127.0.0.1:0'];
  const child = spawnGodwit(['host', '--name', 'a', '--state', state.join('state'), ...ports, ...args]);
  const output = collectOutput(child);
  try {
    await waitUntil('it is ready', () => output().stderr.includes('ready'));
  } finally {
    child.kill('SIGTERM');
    await once(child, 'close');
  }
  return output().stderr;
}

requireCapability('kernel')('godwit host', () => {
  beforeEach(() => {
    state = new TempDirectory();
  });
  afterEach(() => state[Symbol.dispose]());

  test('with --log-format json writes JSON lines only, and in one of them where it listens', async () => {
    const lines = (await runHost('--log-format', 'json'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toContainEqual(
      expect.objectContaining({
        msg: 'ready',
        api: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)],
        migration: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      }),
    );
  });

  test('else says in a line for people that it is ready', async () => {
    expect(await runHost('--log-format', 'pretty')).toMatch(
      /^godwit host a ready: API http:\/\/127\.0\.0\.1:\d+, migration 127\.0\.0\.1:\d+$/m,
    );
  });
});

import { existsSync, statSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startCli } from '../../test/support/in-process-cli.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';

let directory: TempDirectory;
let ca: string;
beforeEach(() => {
  directory = new TempDirectory();
  ca = directory.join('ca');
});
afterEach(() => directory[Symbol.dispose]());

const run = (...args: string[]) => startCli(['tls', ...args]).finished;

test('init makes everything and says which files go where', async () => {
  const { status, out } = await run('init', ca, '--host', 'a,10.0.0.1', '--host', 'b,10.0.0.2');
  expect(status).toBe(0);
  expect(out).toContain('ca.key signs for every host: keep it off the hosts');
  expect(out).toMatch(/^Host a: a, 10\.0\.0\.1; valid until \d{4}-\d\d-\d\d$/m);
  expect(out).toContain(`scp -p ${ca}/b/{ca.crt,tls.crt,tls.key} root@b:/etc/godwit/tls/`);
  expect(out).toContain('godwit host --tls /etc/godwit/tls');
  expect(statSync(`${ca}/b/tls.key`).mode & 0o777).toBe(0o600);
});

test('host adds and renews, for as many days as it is told', async () => {
  await run('init', ca, '--host', 'a,10.0.0.1');
  const added = JSON.parse((await run('host', ca, 'b,10.0.0.2', '--days', '10', '--json')).out);
  const [{ certificate, isRenewed, name }] = added.hosts;
  expect({ name, isRenewed, names: certificate.names }).toEqual({
    name: 'b',
    isRenewed: false,
    names: ['b', '10.0.0.2'],
  });
  expect((certificate.notAfterMs - Date.now()) / 86_400_000).toBeCloseTo(10, 1);
  const { out } = await run('host', ca, 'a', 'b');
  expect(out).toMatch(/^Renewed a: a, 10\.0\.0\.1;/m);
  expect(out).toContain('nothing is restarted');
});

test.each([
  [['--host', '../x'], '--host'],
  [['--host', 'a,10.0.0.1,'], '--host'],
  [['--host', 'a b'], '--host'],
  [['--host', 'a', '--days', '0'], '--days'],
  [['--host', 'a', '--days', 'x'], '--days'],
])('init %s is refused before anything is made', async (flags, field) => {
  const { status, err } = await run('init', ca, ...flags);
  expect(status).toBe(2);
  expect(err).toContain(`${field}: `);
  expect(existsSync(ca)).toBe(false);
});

test('an authority is not made over another one', async () => {
  await run('init', ca);
  const { status, err } = await run('init', ca);
  expect(status).toBe(2);
  expect(err).toContain('godwit tls host');
});

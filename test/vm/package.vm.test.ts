/** What npm would install: every thread's module is found and does its work in built form. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { requireCapability } from '../support/capability.ts';
import { completedReport, createTinyVm, HostPair } from '../support/host-pair.ts';
import { installPackage } from '../support/installed-package.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'packaged';

let directory: TempDirectory;
let program: string;
let pair: HostPair;

requireCapability('vm')('the published package', () => {
  beforeAll(async () => {
    directory = new TempDirectory();
    program = installPackage(directory);
    writeFileSync(directory.join('key'), 'a secret of at least thirty-two bytes, for tests', { mode: 0o600 });
    pair = await HostPair.open({
      program,
      env: { XDG_CACHE_HOME: directory.join('cache') },
      args: ['--sample-every', '1s', '--keep-visits', '1GiB', '--fleet-key-file', directory.join('key')],
    });
    const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: 1024 };
    await createTinyVm(pair.a, { name: VM, guest });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    directory?.[Symbol.dispose]();
  });

  test('samples how a VM writes', async () => {
    await waitUntil('a sample', async () => (await pair.a.client.vmHistory(VM)).samples.length > 0);
  });

  test.each([
    { mode: 'pre-copy', verify: true },
    { mode: 'post-copy' },
    { mode: 'hybrid', tracker: 'groups:16' },
  ] as const)('moves a VM: %o', async (request) => {
    completedReport(await pair.move(VM, request));
    await runsIntact(pair, VM, (await pair.locate(VM)).at);
    for (const { host } of [pair.a, pair.b]) expect(host.log).not.toMatch(/Cannot find|ERR_MODULE|thread died/);
  });

  test('is a library', () => {
    const source = `import { GodwitClient, nextPlan } from 'godwit'; console.log(typeof GodwitClient, typeof nextPlan);`;
    const options = { cwd: dirname(dirname(dirname(program))), encoding: 'utf8' } as const;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', source], options);
    expect(output).toBe('function function\n');
  });
});

/** The commands of evacuations, at a controller that is made up. */
import { expect, test } from 'vitest';
import { startCli } from '../../test/support/in-process-cli.ts';
import { ScriptedFleet } from '../../test/support/scripted-fleet.ts';
import { waitUntil } from '../../test/support/wait-until.ts';

test.each([
  [[], /^\w+ is still on its way to \S+ \(whether it has begun is not known\)\n$/],
  [['--json'], /"running": \[\s+\{\s+"vm": "\w+"/],
])('who presses Ctrl-C a second time is told what is still on its way %j', async (flags, told) => {
  await using fleet = await ScriptedFleet.open();
  const run = startCli(['fleet', 'evacuate', 'rack1-a', '--controller', fleet.url, ...flags]);
  await waitUntil('it is told that one has begun', () => run.err() !== '');
  run.interrupt();
  run.interrupt();
  const { status, out } = await run.finished;
  expect(status).toBe(130);
  expect(out).toMatch(told);
});

test('a controller is told to lead by a higher epoch than hosts know', async () => {
  await using fleet = await ScriptedFleet.open();
  const lead = (epoch: string) => startCli(['fleet', 'lead', '--epoch', epoch, '--controller', fleet.url]).finished;
  expect(await lead('7')).toMatchObject({ status: 0, out: 'Orders are of epoch 8 from now on.\n' });
  expect(await lead('0')).toMatchObject({ status: 2, err: expect.stringContaining('give the epoch that hosts know') });
});

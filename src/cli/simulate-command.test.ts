import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { type CliRun, startCli } from '../../test/support/in-process-cli.ts';
import type { SimulationView } from './simulation-view.ts';

const SMALL = ['--vms', '4', '--hosts', '2', '--memory', '64MiB', '--rate', '1Gbit/s'];
const DIRECTORY = mkdtempSync(join(tmpdir(), 'godwit-simulate-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true }));

const simulate = (...args: string[]): Promise<CliRun> => startCli(['fleet', 'simulate', ...args]).finished;

async function viewOf(...args: string[]): Promise<SimulationView> {
  const { status, out, err } = await simulate(...args, '--json');
  expect([status, err]).toEqual([0, '']);
  return JSON.parse(out) as SimulationView;
}

test('all strategies are told in one table, and what planning took', async () => {
  const { status, out } = await simulate(...SMALL);
  expect(status).toBe(0);
  expect(out).toMatch(/^4 of 4 VMs leave host host1 for 1 other \(synthetic, seed 1\)\n/);
  expect(out).toMatch(/planning: commonality [\d.]+ (ms|µs|s), plan [\d.]+ ms, [\d.]+ [MG]iB of memory at most\n/);
  expect(out).toMatch(/plan: 4 migrations in \d groups?/);
  for (const title of ['arbitrary order', 'all parallel', 'no grouping', 'pairs, regrouped', 'representatives']) {
    expect(out).toContain(`\n${title} `);
  }
});

test('the same seed gives the same, another one something else', async () => {
  const [first, again, other] = [await viewOf(...SMALL), await viewOf(...SMALL), await viewOf(...SMALL, '--seed', '2')];
  const fixed = ({ planning: _planning, ...rest }: SimulationView) => rest;
  expect(fixed(again)).toEqual(fixed(first));
  expect(other.plan).not.toEqual(first.plan);
  expect(first.planning.planMs).toBeGreaterThan(0);
});

test('only the strategies that are asked for, over several fleets', async () => {
  const args = [...SMALL, '--strategy', 'pairs', '--strategy', 'parallel', '--fleets', '3'];
  const { strategies, fleet } = await viewOf(...args);
  expect(strategies.map(({ strategy }) => strategy)).toEqual(['pairs', 'parallel']);
  expect(fleet).toMatchObject({ fleets: 3, hosts: 2, vms: 4, leaving: 4, from: ['host1'], recordedAtMs: null });
});

largerTest('of more than 200 VMs only the plan is told, unless a strategy is asked for', async () => {
  const many = ['--vms', '201', '--hosts', '3', '--memory', '8MiB'];
  expect((await viewOf(...many)).strategies).toEqual([]);
  expect((await viewOf(...many, '--strategy', 'arbitrary')).strategies).toHaveLength(1);
});

describe('bad input is named with the fix', () => {
  const notJson = join(DIRECTORY, 'text');
  writeFileSync(notJson, 'no JSON');
  const other = join(DIRECTORY, 'other.json');
  writeFileSync(other, '{"recording": 2}');

  test.each([
    [['--vms', '0'], /--vms.*give a whole number from 1 to 1000/],
    [['--hosts', '1001'], /--hosts.*give a whole number from 2 to 1000/],
    [['--common', '120%'], /--common.*give a part such as 60% or 0.6/],
    [['--mix', 'web=1,sleep=2'], /--mix.*give numbers from 0 to 1000 such as web=3,idle=1, of idle, web,/],
    [['--mix', 'web=0'], /--mix.*give numbers/],
    [['--mix', 'web=1,web=2'], /--mix.*give numbers/],
    [['--memory', 'much'], /--memory: much is not valid: give a size/],
    [['--rate', 'unlimited'], /--rate: unlimited is not valid: give more than nothing/],
    [['--strategy', 'best'], /--strategy.*give one of arbitrary, parallel,/],
    [['--hosts', '3', '--leave', '3'], /--leave: 3 is not valid: give less than --hosts \(3\)/],
    [['--vms', '1000', '--leave', '10', '--hosts', '20'], /--vms: 1000 .*10000 VMs in all: at most 4000/],
    [['--vms', '1000', '--memory', '64GiB'], /--vms: 1000 .*1000 VMs in all: at most 257 of that size/],
    [['--residents', '10', '--hosts', '1000'], /--residents: 10 .*10040 VMs in all/],
    [['--host', 'a'], /--host is for recorded fleets: give --from FILE as well/],
    [['--from', 'x'], /--host is missing: give the host that all VMs leave/],
    [['--from', 'x', '--host', 'a', '--vms', '5'], /--vms is told by the recording/],
    [['--from', '/nowhere', '--host', 'a'], /Cannot read \/nowhere: ENOENT/],
    [
      ['--from', notJson, '--host', 'a'],
      /--from: .*text is not valid: give a file that `godwit fleet record` has written/,
    ],
    [['--from', other, '--host', 'a'], /--from\.recording: 2 is not valid: give a file that `godwit fleet record`/],
  ])('%j', async (args, words) => {
    const { status, err } = await simulate(...args);
    expect([status, err]).toEqual([2, expect.stringMatching(words)]);
  });
});

import { expect, test } from 'vitest';
import { judge, type Observations } from './evidence.ts';
import { sampleReport } from './sample-report.ts';

const GOOD: Observations = {
  reports: [sampleReport({ from: 'a', owner: 'b' }), sampleReport({ from: 'b', owner: 'a', mode: 'post-copy' })],
  console: consoleText([1, 2, 3, 4, 5]),
  moves: [
    { to: 'b', before: 1, after: 3 },
    { to: 'a', before: 3, after: 5 },
  ],
  checks: ['check: memory intact, 100 pages in 1 ms', 'check: memory intact, 100 pages in 2 ms'],
  runsOn: ['a'],
  home: 'a',
};

test('a good run makes every claim true', () => {
  expect(judge(GOOD).filter(({ isTrue }) => !isTrue)).toEqual([]);
});

test.each<[string, Partial<Observations>, RegExp]>([
  [
    'a failed migration',
    { reports: [sampleReport({ outcome: 'failed' }), GOOD.reports[1]!] },
    /a → b by pre-copy: failed/,
  ],
  ['a VM that stayed', { reports: [sampleReport({ from: 'a', owner: 'a' }), GOOD.reports[1]!] }, /a → b by pre-copy/],
  ['a heartbeat that is missing', { console: consoleText([1, 2, 4, 5]) }, /heartbeats 1 to 5: 4 of them came/],
  ['a heartbeat that came twice', { console: consoleText([1, 2, 3, 3, 4]) }, /heartbeats 1 to 4: 5 of them came/],
  ['a guest that began anew', { console: consoleText([1, 2, 3, 1, 2]) }, /heartbeats 1 to 2/],
  ['a guest that stood still', { moves: [{ to: 'b', before: 3, after: 3 }, GOOD.moves[1]!] }, /heartbeats/],
  ['a corrupt page in a check', { checks: ['check: memory CORRUPT, 1 of 100 pages'] }, /CORRUPT, 1 of 100/],
  ['fewer pages than before', { checks: [GOOD.checks[0]!, 'check: memory intact, 99 pages in 1 ms'] }, /99 pages/],
  [
    'a complaint of the guest',
    { console: `${GOOD.console}memory CORRUPT page 7: lost\n` },
    /it says: memory CORRUPT page 7/,
  ],
  ['an error in a heartbeat', { console: consoleText([1, 2, 3, 4, 5], 1) }, /errors=1/],
  [
    'digests that differ',
    { reports: [GOOD.reports[0]!, sampleReport({ from: 'b', owner: 'a', equal: false })] },
    /DIFFER/,
  ],
  ['two owners', { runsOn: ['a', 'b'] }, /runs on a and b/],
  ['no owner', { runsOn: [] }, /runs on no host/],
])('%s makes a claim false', (_, change, text) => {
  const untrue = judge({ ...GOOD, ...change }).filter(({ isTrue }) => !isTrue);
  expect(untrue.map((claim) => claim.text)).toEqual([expect.stringMatching(text)]);
});

function consoleText(numbers: readonly number[], errors = 0): string {
  return numbers
    .map(
      (number) =>
        `heartbeat ${number} uptime=${number}.0 wall=1.0 work=${number} checked=${number} errors=${errors}\r\n`,
    )
    .join('');
}

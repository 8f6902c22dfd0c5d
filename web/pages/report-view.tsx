/** The report of a migration that has ended: what it came to, where the downtime went, what was sent, how good the prediction was. */
import type { ReportView as Report } from '../../src/api/migration-schema.ts';
import { fixOf } from '../../src/base/errors.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { type Part, PartsBar } from '../parts/bars.tsx';
import { Notice, sentence } from '../parts/notice.tsx';
import { Facts, Figures, Panel } from '../parts/panel.tsx';
import { count, durationOrDash, percent } from '../parts/words.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { PredictionPanel } from './prediction-panel.tsx';
import { RoundsPanel } from './rounds-panel.tsx';

/** Alternating looks, so that neighbours are told apart without their colours. */
const DOWNTIME_PARTS: readonly (readonly [keyof NonNullable<Report['downtimeParts']>, string, string])[] = [
  ['stop', 'stopping', 'c-rest'],
  ['lastRound', 'last pages', 'c-sent'],
  ['saveState', 'saving device state', 'c-light'],
  ['transferState', 'sending it', 'c-throttle'],
  ['loadState', 'loading it', 'c-good'],
  ['commit', 'handover', 'c-dirty'],
  ['resume', 'resuming', 'c-rest'],
  ['verify', 'comparing', 'c-warn'],
];

export function ReportView({ report, nowHere }: { report: Report; nowHere: boolean }): React.JSX.Element {
  const { downtimeParts, rounds, prediction, postCopy } = report;
  // The destination knows only what came.
  const isSource = !nowHere;
  return (
    <>
      <Outcome report={report} nowHere={nowHere} />
      <Panel title="What it came to">
        <Figures items={figuresOf(report, isSource)} />
      </Panel>
      <div className="columns">
        {downtimeParts === null ? null : (
          <Panel title="Downtime" aside={durationOrDash(report.downtimeMs)}>
            <PartsBar
              label="Parts of the downtime"
              format={formatDuration}
              parts={DOWNTIME_PARTS.map(([key, name, look]) => ({ name, look, value: downtimeParts[key] }))}
            />
            <p className="soft small">
              The clocks of both hosts agree within {formatDuration(report.clockUncertaintyMs)}.
            </p>
          </Panel>
        )}
        <Panel title="Memory" aside={`${formatSize(report.ramBytes)} in all`}>
          {isSource ? (
            <PartsBar
              label="What the memory was"
              parts={memoryParts(report)}
              format={(pages) => formatSize(pages * PAGE_SIZE)}
            />
          ) : null}
          <Facts items={packingFacts(report)} />
        </Panel>
      </div>
      {prediction === null || prediction.made.length === 0 ? null : <PredictionPanel prediction={prediction} />}
      {rounds.length === 0 ? null : <RoundsPanel rounds={rounds} />}
      {postCopy === null ? null : (
        <Panel title="After the handover">
          <Figures
            items={[
              { name: 'Needed the source for', value: formatDuration(postCopy.residentMs) },
              { name: 'Fetched on access', value: count(postCopy.faults, 'page') },
              {
                name: 'Waited for one',
                value: `${formatDuration(postCopy.faultMicrosecondsP50 / 1000)}`,
                detail: `99 of 100 below ${formatDuration(postCopy.faultMicrosecondsP99 / 1000)}`,
              },
              {
                name: 'Brought ahead',
                value: count(postCopy.pushedPages, 'page'),
                detail: `of ${postCopy.missingPages} missing`,
              },
              { name: 'Connection cut', value: count(postCopy.reconnects, 'time') },
            ]}
          />
        </Panel>
      )}
      <Panel title="How it was done">
        <Facts items={howFacts(report)} />
      </Panel>
    </>
  );
}

function Outcome({ report, nowHere }: { report: Report; nowHere: boolean }): React.JSX.Element {
  const { outcome, error, vm, owner, from } = report;
  const to = usePeerName()(report.to);
  if (outcome === 'completed') {
    const where = nowHere ? `${vm} runs here now` : `${vm} runs on ${to} now`;
    return (
      <Notice tone="good" live>
        <span>
          <strong>{where}.</strong> It stood still for {durationOrDash(report.downtimeMs)}
          {report.verify === null
            ? ''
            : report.verify.equal
              ? '; all memory was compared and is equal'
              : '; memory was compared and differs'}
          .
        </span>
      </Notice>
    );
  }
  const fix = error === null ? undefined : fixOf(error);
  const stays = owner === from ? `${vm} runs on at ${from} as before.` : `${vm} is ${owner}'s to run.`;
  const title =
    outcome === 'cancelled' ? 'It was cancelled.' : outcome === 'refused' ? 'It was refused.' : 'It failed.';
  return (
    <Notice tone={outcome === 'cancelled' ? 'warn' : 'bad'} live title={`${title} ${stays}`}>
      {error === null ? null : <span>{sentence(error.message)}</span>}
      {fix === undefined ? null : <span>To fix it: {sentence(fix)}</span>}
      {error === null ? null : <code className="small soft">{error.code}</code>}
    </Notice>
  );
}

function figuresOf(report: Report, isSource: boolean): React.ComponentProps<typeof Figures>['items'] {
  const { totalMs, downtimeMs, downtimeLimitMs, finishByMs, wireBytes, ramBytes, rounds, throttle } = report;
  return [
    {
      name: 'Took',
      value: formatDuration(totalMs),
      detail: finishByMs === null || finishByMs === 0 ? undefined : `${formatDuration(finishByMs)} promised`,
    },
    {
      name: 'Downtime',
      value: durationOrDash(downtimeMs),
      detail: downtimeLimitMs === null ? undefined : `limit ${formatDuration(downtimeLimitMs)}`,
    },
    { name: 'Sent', value: formatSize(wireBytes), detail: `${percent(wireBytes, ramBytes)} of its memory` },
    ...(isSource
      ? [
          { name: 'Rounds', value: rounds.at(-1)?.number ?? 0 },
          {
            name: 'Slowed by at most',
            value: `${Math.round(throttle.maxPercent)} %`,
            detail: throttle.activeMs > 0 ? `for ${formatDuration(throttle.activeMs)}` : 'not slowed',
          },
        ]
      : []),
  ];
}

function memoryParts({ pages }: Report): Part[] {
  const data = Math.max(0, pages.total - pages.hole - pages.zero);
  return [
    { name: 'data', value: data, look: 'c-sent' },
    { name: 'only zeros', value: pages.zero, look: 'c-light' },
    { name: 'never touched', value: pages.hole, look: 'c-none' },
  ];
}

function packingFacts({ pages, packing }: Report): [string, React.ReactNode][] {
  const facts: [string, React.ReactNode][] = [['Sent', `${count(pages.sent, 'page')}, ${pages.resent} of them again`]];
  if (packing === null) return facts;
  facts.push(
    ['Unchanged after all', count(packing.unchangedPages, 'page')],
    ['There already', `${count(packing.duplicatePages, 'page')}, ${formatSize(packing.duplicateSavedBytes)} saved`],
    ['As a small change', `${count(packing.deltaPages, 'page')}, ${formatSize(packing.deltaSavedBytes)} saved`],
    [
      'Compressed',
      packing.compressedFromBytes === 0
        ? 'nothing'
        : `${formatSize(packing.compressedFromBytes)} to ${formatSize(packing.compressedToBytes)}`,
    ],
  );
  return facts;
}

function howFacts(report: Report): [string, React.ReactNode][] {
  const { tracker, throttle, verify } = report;
  return [
    ['Mode', report.mode],
    ['From and to', `${report.from} to ${report.to}`],
    ['Began', new Date(report.startedAt).toLocaleString()],
    ['Written pages found by', tracker.reason === null ? tracker.kind : `${tracker.kind}: ${tracker.reason}`],
    ['Slowed down by', throttle.activeMs > 0 ? throttle.mechanism : 'nothing'],
    [
      'Compared',
      verify === null
        ? 'no'
        : `${count(verify.pages, 'page')}, ${verify.equal ? 'equal' : 'NOT equal'} (${verify.scheme})`,
    ],
    [
      'Interrupted',
      report.interrupted ? 'a daemon was restarted on the way; what it had counted before is not in here' : 'no',
    ],
    ['Id', <code key="id">{report.id}</code>],
  ];
}

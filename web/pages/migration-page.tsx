/** One migration: live while it runs, its report when it has ended. */
import { useState } from 'react';
import type { MigrationView } from '../../src/api/migration-schema.ts';
import { formatDuration, formatRate, formatSize } from '../../src/base/units.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { Meter } from '../parts/bars.tsx';
import { useLoaded } from '../parts/loaded.ts';
import { ErrorNotice, sentence } from '../parts/notice.tsx';
import { Figures, PageHead, Panel } from '../parts/panel.tsx';
import { MigrationChip } from '../parts/state-chip.tsx';
import { durationOrDash, range } from '../parts/words.ts';
import { useCalls, useHostState } from '../session/host-context.ts';
import { isRunning } from '../session/host-state.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { linkTo } from '../session/route.ts';
import { LiveCharts } from './live-charts.tsx';
import { PhaseSteps } from './phase-steps.tsx';
import { ReportView } from './report-view.tsx';
import { TuneForm } from './tune-form.tsx';

export function MigrationPage({ id }: { id: string }): React.JSX.Element {
  const calls = useCalls();
  const { migrations } = useHostState();
  const nameOf = usePeerName();
  const known = migrations.find((migration) => migration.id === id);
  // An older one than the list has, or a part of an id.
  const asked = useLoaded(() => calls.showMigration(id), known === undefined ? `migration ${id}` : 'known');
  const migration =
    known ?? (typeof asked.value === 'object' && asked.value.id.startsWith(id) ? asked.value : undefined);
  if (migration === undefined) {
    return (
      <>
        <PageHead title="Migration" crumbs={<a href={linkTo('migrations')}>Migrations</a>} />
        {asked.error === undefined ? <p className="soft">Asking the host…</p> : <ErrorNotice error={asked.error} />}
      </>
    );
  }
  const { vm, direction } = migration;
  const peer = nameOf(migration.peer);
  return (
    <>
      <PageHead
        title={direction === 'outgoing' ? `${vm} to ${peer}` : `${vm} from ${peer}`}
        crumbs={
          <>
            <a href={linkTo('migrations')}>Migrations</a> › <a href={linkTo('vms', vm)}>{vm}</a>
          </>
        }
        chip={<MigrationChip state={migration.state} />}
      />
      {isRunning(migration) ? <Live migration={migration} /> : null}
      {migration.report === null ? null : <ReportView report={migration.report} nowHere={direction === 'incoming'} />}
      <Notes migration={migration} />
    </>
  );
}

function Live({ migration }: { migration: MigrationView }): React.JSX.Element {
  const calls = useCalls();
  const [error, setError] = useState<unknown>(undefined);
  const { id, progress, options, direction, phase } = migration;
  const isBeforeHandover = phase === 'preparing' || phase === 'copying' || phase === 'stopping';
  return (
    <>
      <Panel
        title="Now"
        actions={
          direction === 'outgoing' && isBeforeHandover ? (
            <>
              <ActionButton
                act={() => calls.switchToPostCopy(id)}
                onError={setError}
                confirm={{
                  question: 'The VM moves now and cannot be called back. Switch?',
                  yes: 'Switch to post-copy',
                }}
              >
                Move it now…
              </ActionButton>
              <ActionButton act={() => calls.cancelMigration(id)} onError={setError} look="danger">
                Cancel
              </ActionButton>
            </>
          ) : undefined
        }
      >
        <PhaseSteps migration={migration} />
        <Meter label="Progress" percent={progress?.percent ?? 0} tall />
        <p aria-live="polite">
          {progress === null ? 'Asking the destination.' : sentence(progress.verdict.text)}
          {progress?.waitingFor == null ? '' : ` It waits for the ${progress.waitingFor}.`}
        </p>
        {error === undefined ? null : <ErrorNotice error={error} />}
        <LiveFigures migration={migration} />
      </Panel>
      <LiveCharts migration={migration} />
      {direction === 'outgoing' && options !== null && isBeforeHandover ? <TuneForm id={id} options={options} /> : null}
    </>
  );
}

function LiveFigures({ migration }: { migration: MigrationView }): React.JSX.Element | null {
  const { progress, options, startedAtMs } = migration;
  if (progress === null) return null;
  const { prediction, etaMs, predictedDowntimeMs } = progress;
  const elapsedMs = Date.now() - startedAtMs;
  const left = etaMs ?? (prediction === null ? null : Math.max(0, prediction.totalMs.expected - elapsedMs));
  const limit = options === null ? '' : `at most ${formatDuration(options.maxDowntimeMs)}`;
  return (
    <Figures
      items={[
        {
          name: 'Done',
          value: `${Math.floor(progress.percent)} %`,
          detail: progress.round > 0 ? `round ${progress.round}` : undefined,
        },
        {
          name: 'Left',
          value: left === null ? '–' : formatDuration(left),
          detail: prediction === null ? 'no prediction yet' : leftBand(prediction.totalMs, elapsedMs),
        },
        { name: 'Sent', value: formatSize(progress.sentBytes), detail: `${formatSize(progress.remainingBytes)} to go` },
        { name: 'Sends', value: formatRate(progress.bytesPerSecond) },
        { name: 'The VM writes', value: formatRate(progress.dirtyBytesPerSecond) },
        {
          name: 'Slowed by',
          value: `${Math.round(progress.throttlePercent)} %`,
          detail: progress.throttlePercent > 0 ? 'of its CPU time' : 'not slowed',
        },
        {
          name: 'Downtime, predicted',
          value: durationOrDash(prediction?.downtimeMs.expected ?? predictedDowntimeMs),
          detail:
            prediction === null
              ? limit
              : `${range(prediction.downtimeMs.low, prediction.downtimeMs.high, formatDuration)}, ${limit}`,
        },
      ]}
    />
  );
}

function leftBand({ low, high }: { low: number; high: number }, elapsedMs: number): string {
  return `between ${formatDuration(Math.max(0, low - elapsedMs))} and ${formatDuration(Math.max(0, high - elapsedMs))}`;
}

function Notes({ migration: { notes } }: { migration: MigrationView }): React.JSX.Element | null {
  if (notes.length === 0) return null;
  return (
    <Panel title="What happened">
      <ol className="stack-tight">
        {notes.map(({ level, text }, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: they only grow, and some are said twice
          <li key={index} className={level === 'warn' ? undefined : 'soft'}>
            {level === 'warn' ? <b>Warning: </b> : null}
            {sentence(text)}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** One evacuation: each VM on the timeline, predicted and actual, with what it waits for; what happened; cancel. */
import { useState } from 'react';
import type { EvacuatedVmView, EvacuationView } from '../../src/api/evacuation-schema.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { Meter } from '../parts/bars.tsx';
import { useLoaded, useNow } from '../parts/loaded.ts';
import { ErrorNotice, ended, Notice, sentence } from '../parts/notice.tsx';
import { Figures, PageHead, Panel } from '../parts/panel.tsx';
import { count, durationOrDash } from '../parts/words.ts';
import { useFleetCalls, useFleetState } from '../session/fleet-context.ts';
import { linkToFleet, linkToHost } from '../session/route.ts';
import { EvacuatedVmChip, EvacuationChip } from './evacuation-chip.tsx';
import { Timeline, TimelineLegend, type TimelineRow } from './timeline.tsx';

export function EvacuationPage({ id }: { id: string }): React.JSX.Element {
  const calls = useFleetCalls();
  const { evacuations } = useFleetState();
  const [error, setError] = useState<unknown>(undefined);
  const known = evacuations.find((each) => each.id === id);
  const asked = useLoaded(() => calls.showEvacuation(id), known === undefined ? `evacuation ${id}` : 'known');
  const evacuation = known ?? (typeof asked.value === 'object' ? asked.value : undefined);
  const crumbs = <a href={linkToFleet('evacuations')}>Evacuations</a>;
  if (evacuation === undefined) {
    return (
      <>
        <PageHead title="Evacuation" crumbs={crumbs} />
        {asked.error === undefined ? (
          <p className="soft">Asking the controller…</p>
        ) : (
          <ErrorNotice error={asked.error} />
        )}
      </>
    );
  }
  const { from, to, endedAtMs, isCancelling } = evacuation;
  return (
    <>
      <PageHead
        title={`Evacuation of host ${from}${to === null ? '' : ` to ${to}`}`}
        crumbs={crumbs}
        chip={<EvacuationChip evacuation={evacuation} />}
        actions={
          endedAtMs === null && !isCancelling ? (
            <ActionButton act={() => calls.cancelEvacuation(evacuation.id)} onError={setError} look="danger">
              Cancel
            </ActionButton>
          ) : undefined
        }
      />
      {error === undefined ? null : <ErrorNotice error={error} />}
      <Outcome evacuation={evacuation} />
      <Progress evacuation={evacuation} />
      <Notes evacuation={evacuation} />
    </>
  );
}

function Outcome({ evacuation }: { evacuation: EvacuationView }): React.JSX.Element | null {
  const { state, from, vms, error } = evacuation;
  if (evacuation.endedAtMs === null) return null;
  const stayed = vms.filter((vm) => vm.state !== 'arrived');
  if (state === 'completed') {
    return (
      <Notice
        tone="good"
        live
        title={vms.length === 0 ? `${from} had no VMs to move.` : `All VMs have left ${from}.`}
      />
    );
  }
  return (
    <Notice
      tone={state === 'failed' ? 'bad' : 'warn'}
      live
      title={
        state === 'cancelled'
          ? 'It was cancelled.'
          : state === 'failed'
            ? 'It could not go on.'
            : `${count(stayed.length, 'VM')} stayed.`
      }
    >
      {error === null ? null : <span>{sentence(error.message)}</span>}
      <span>What stayed, and why, is below. Evacuate {from} again when that is settled.</span>
    </Notice>
  );
}

function Progress({ evacuation }: { evacuation: EvacuationView }): React.JSX.Element {
  const { vms, from, startedAtMs, endedAtMs, requestedAtMs, predictedMs, predictedEndAtMs, deadlineAtMs } = evacuation;
  const ticking = useNow(endedAtMs === null ? 1_000 : 3_600_000);
  const now = endedAtMs ?? ticking;
  const arrived = vms.filter(({ state }) => state === 'arrived').length;
  const began = startedAtMs ?? requestedAtMs;
  const bytes = vms.reduce((sum, vm) => sum + (vm.actual?.bytes ?? 0), 0);
  const expected = vms.reduce((sum, vm) => sum + (vm.predicted?.bytes.p50 ?? 0), 0);
  return (
    <Panel title="VMs">
      <Meter label="VMs that have arrived" percent={vms.length === 0 ? 100 : (100 * arrived) / vms.length} tall />
      <p className="unseen" aria-live="polite">
        {arrived} of {vms.length} have arrived
      </p>
      <Figures
        items={[
          { name: 'Arrived', value: `${arrived} of ${vms.length}` },
          {
            name: endedAtMs === null ? 'Running for' : 'Took',
            value: formatDuration(Math.max(0, now - began)),
            detail: predictedMs === null ? undefined : `${formatDuration(predictedMs)} predicted`,
          },
          ...(endedAtMs === null && predictedEndAtMs !== null
            ? [
                {
                  name: 'Left, about',
                  value: formatDuration(Math.max(0, predictedEndAtMs - now)),
                  detail: 'by the latest plan',
                },
              ]
            : []),
          {
            name: 'Sent',
            value: formatSize(bytes),
            detail: expected > 0 ? `${formatSize(expected)} predicted` : undefined,
          },
          ...(deadlineAtMs === null ? [] : [{ name: 'Deadline', value: new Date(deadlineAtMs).toLocaleTimeString() }]),
        ]}
      />
      {vms.length === 0 ? null : (
        <>
          <TimelineLegend withActual />
          <Timeline
            rows={vms.map((vm) => rowOf(vm, from, now))}
            fromMs={began}
            nowMs={endedAtMs === null ? now : null}
          />
        </>
      )}
    </Panel>
  );
}

function rowOf(vm: EvacuatedVmView, from: string, now: number): TimelineRow {
  const start = vm.startedAtMs ?? vm.startsAtMs;
  const look = vm.state === 'arrived' ? 'done' : vm.state === 'running' ? 'going' : 'bad';
  return {
    name: vm.vm,
    href: vm.migration === null ? undefined : linkToHost(from, 'migrations', vm.migration),
    detail: (
      <>
        <span className="soft"> {vm.to === null ? '' : `to ${vm.to} `}</span>
        <EvacuatedVmChip state={vm.state} />
      </>
    ),
    predicted:
      start === null || vm.predicted === null
        ? null
        : { fromMs: start, toMs: start + vm.predicted.totalMs.p50, lastMs: start + vm.predicted.totalMs.p90 },
    actual: vm.startedAtMs === null ? null : { fromMs: vm.startedAtMs, toMs: vm.endedAtMs ?? now, look },
    text: textOf(vm),
  };
}

function textOf({ reason, actual, predicted, attempts }: EvacuatedVmView): string {
  const parts = [
    reason === null ? '' : ended(reason),
    actual === null
      ? ''
      : `Took ${formatDuration(actual.totalMs)}, downtime ${durationOrDash(actual.downtimeMs)}, ${formatSize(actual.bytes)} sent.`,
    predicted === null
      ? ''
      : `Predicted ${formatDuration(predicted.totalMs.p50)}, downtime ${formatDuration(predicted.downtimeMs.p50)}, ${formatSize(predicted.bytes.p50)}.`,
    attempts === 0 ? '' : `Failed ${count(attempts, 'time')} so far.`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function Notes({ evacuation: { notes, initiator, by, owner, id } }: { evacuation: EvacuationView }): React.JSX.Element {
  return (
    <Panel
      title="What happened"
      aside={`asked by ${by ?? initiator}${owner === null ? '' : `, carried out by ${owner}`}`}
    >
      {notes.length === 0 ? <p className="empty">Nothing yet: a controller takes it up in a moment.</p> : null}
      <ol className="stack-tight">
        {[...notes].reverse().map(({ atMs, text }) => (
          <li key={`${atMs} ${text}`}>
            <time className="soft">{new Date(atMs).toLocaleTimeString()}</time> {ended(text)}
          </li>
        ))}
      </ol>
      <p className="soft small">
        <code>{id}</code>
      </p>
    </Panel>
  );
}

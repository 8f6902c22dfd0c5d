/** One VM: what it is, how it writes to its memory and in which rhythm, what it shares, where it has been. */
import { useState } from 'react';
import type { HistoryView } from '../../src/api/history-schema.ts';
import type { VmView } from '../../src/api/vm-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatDuration, formatRate, formatSize } from '../../src/base/units.ts';
import { findPeriod } from '../../src/fleet/period.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { useLoaded, useNow } from '../parts/loaded.ts';
import { ErrorNotice, Notice, sentence } from '../parts/notice.tsx';
import { Facts, Figures, PageHead, Panel } from '../parts/panel.tsx';
import { VmChip } from '../parts/state-chip.tsx';
import { TimeChart } from '../parts/time-chart.tsx';
import { ago, count } from '../parts/words.ts';
import { useCalls, useHostState } from '../session/host-context.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { linkTo } from '../session/route.ts';
import { MigrationTable } from './migration-table.tsx';

const REFRESH_MS = 15_000;

export function VmPage({ name }: { name: string }): React.JSX.Element {
  const { vms, migrations } = useHostState();
  const calls = useCalls();
  const now = useNow(10_000);
  const [error, setError] = useState<unknown>(undefined);
  const vm = vms.find((each) => each.name === name);
  const history = useLoaded(() => calls.vmHistory(name), `history ${name}`, REFRESH_MS).value;
  const own = migrations.filter((migration) => migration.vm === name);
  if (vm === undefined) return <Absent name={name} peer={own[0]?.peer} id={own[0]?.id} />;
  return (
    <>
      <PageHead title={vm.name} chip={<VmChip state={vm.state} />} actions={<Actions vm={vm} onError={setError} />} />
      {error === undefined ? null : <ErrorNotice error={error} />}
      {vm.notes.map((note) => (
        <Notice key={note} tone="warn">
          {sentence(note)}
        </Notice>
      ))}
      {vm.ended === null ? null : (
        <Notice tone={vm.state === 'crashed' ? 'bad' : 'calm'} title={`QEMU ended ${ago(vm.ended.atMs, now)}`}>
          {sentence(vm.ended.reason)}
        </Notice>
      )}
      <History history={history} nowMs={now} />
      <div className="columns">
        <Panel title="What it is">
          <Facts items={factsOf(vm, now)} />
        </Panel>
        {vm.sharedMemory.length === 0 ? null : (
          <Panel title="Memory that it shares">
            <Facts
              items={vm.sharedMemory.map((region) => [
                region.name,
                `${formatSize(region.sizeBytes)}, with ${region.sharedWith.join(', ') || 'nobody yet'}`,
              ])}
            />
            <p className="soft">VMs that share memory move together, as a group.</p>
          </Panel>
        )}
      </div>
      <Panel title="Its migrations" flush={own.length > 0}>
        {own.length === 0 ? (
          <p className="empty">It has not moved from or to this host, as far as this host remembers.</p>
        ) : (
          <MigrationTable migrations={own} nowMs={now} />
        )}
      </Panel>
    </>
  );
}

function Absent({
  name,
  peer,
  id,
}: {
  name: string;
  peer: string | undefined;
  id: string | undefined;
}): React.JSX.Element {
  const nameOf = usePeerName();
  return (
    <>
      <PageHead title={name} />
      <Notice tone="calm" title="This VM is not on this host.">
        {id === undefined ? (
          <span>Its name may be mistyped, or it is on another host.</span>
        ) : (
          <span>
            Its last migration was with {nameOf(peer ?? '')}. <a href={linkTo('migrations', id)}>See its report</a>
          </span>
        )}
      </Notice>
    </>
  );
}

function Actions({ vm, onError }: { vm: VmView; onError: (error: unknown) => void }): React.JSX.Element | null {
  const calls = useCalls();
  if (vm.migration !== null) {
    return (
      <a className="button primary" href={linkTo('migrations', vm.migration)}>
        Watch its migration
      </a>
    );
  }
  if (vm.state !== 'running' && vm.state !== 'paused') return null;
  const isPaused = vm.state === 'paused';
  return (
    <>
      <ActionButton act={() => calls.actOnVm(vm.name, isPaused ? 'resume' : 'pause')} onError={onError}>
        {isPaused ? 'Resume' : 'Pause'}
      </ActionButton>
      <a
        className="button primary"
        href={
          vm.sharedMemory[0] === undefined
            ? linkTo('vms', vm.name, 'migrate')
            : linkTo('groups', vm.sharedMemory[0].name, 'migrate')
        }
      >
        Migrate…
      </a>
    </>
  );
}

function factsOf(vm: VmView, now: number): [string, React.ReactNode][] {
  return [
    ['Memory', formatSize(vm.memoryBytes)],
    ['CPUs', vm.vcpus],
    ['May run on', vm.owner],
    ['Came from', vm.arrivedFrom ?? 'created here'],
    ['Since', `${new Date(vm.createdAtMs).toLocaleString()} (${ago(vm.createdAtMs, now)})`],
    ['Handed over', vm.epoch <= 1 ? 'never' : count(vm.epoch - 1, 'time')],
    ['QEMU', vm.pid === null ? 'not running' : `process ${vm.pid}${vm.adopted ? ', started by somebody else' : ''}`],
    ['UUID', <code key="uuid">{vm.uuid}</code>],
  ];
}

function History({ history, nowMs }: { history: HistoryView | undefined; nowMs: number }): React.JSX.Element {
  const samples = history?.samples ?? [];
  const last = samples.at(-1);
  if (history === undefined || last === undefined) {
    const isOff = history?.everyMs === 0;
    return (
      <Panel title="How it writes to its memory">
        <p className="empty">
          {isOff
            ? 'This host does not look at how its VMs write (--sample-every off): only migrations tell.'
            : 'Nothing is known yet. The host looks once a minute by default; the first look comes soon.'}
        </p>
      </Panel>
    );
  }
  const rates = samples.map(({ pagesPerSecond }) => pagesPerSecond * PAGE_SIZE);
  const most = Math.max(...rates);
  const period = findPeriod({ samples: samples as Parameters<typeof findPeriod>[0]['samples'] }, nowMs);
  const from = samples[0]!.atMs;
  const quiet = period === null ? [] : quietPhases(period, from, nowMs);
  const set = last.points.at(-1);
  return (
    <Panel
      title="How it writes to its memory"
      aside={`${count(samples.length, 'look')} in ${formatDuration(nowMs - from)}`}
    >
      <Figures
        items={[
          { name: 'Now', value: formatRate(rates.at(-1)!), detail: ago(last.atMs, nowMs) },
          { name: 'At most', value: formatRate(most) },
          ...(set === undefined
            ? []
            : [
                {
                  name: 'Working set',
                  value: formatSize(set.pages * PAGE_SIZE),
                  detail: `written in ${formatDuration(set.ms)}`,
                },
              ]),
          period === null
            ? {
                name: 'Rhythm',
                value: 'none',
                detail: samples.length < 18 ? 'too few looks to tell' : 'none that the looks show',
              }
            : {
                name: 'Rhythm',
                value: formatDuration(period.periodMs),
                detail: `quiet for ${formatDuration(period.quietMs)} of it (marked)`,
              },
        ]}
      />
      <TimeChart
        summary={`Bytes written a second over time: now ${formatRate(rates.at(-1)!)}, at most ${formatRate(most)}`}
        times={samples.map(({ atMs }) => atMs / 1000)}
        series={[{ label: 'writes', color: 'series-dirty', values: rates, fill: true, points: samples.length < 40 }]}
        format={(value) => formatRate(value)}
        marked={quiet}
      />
    </Panel>
  );
}

/** The quiet phases between two moments, in seconds. */
function quietPhases(
  { anchorMs, periodMs, quietFromMs, quietMs }: NonNullable<ReturnType<typeof findPeriod>>,
  fromMs: number,
  toMs: number,
): [number, number][] {
  const phases: [number, number][] = [];
  const first = Math.floor((fromMs - anchorMs - quietFromMs) / periodMs);
  for (let cycle = first; anchorMs + quietFromMs + cycle * periodMs < toMs; cycle++) {
    const begin = anchorMs + quietFromMs + cycle * periodMs;
    phases.push([begin / 1000, (begin + quietMs) / 1000]);
  }
  return phases;
}

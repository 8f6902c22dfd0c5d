/**
 * Evacuates a host in two steps: where to and until when, then the plan that follows from that, and go.
 *
 * Must hold: nothing is begun that was not shown; the plan is asked for anew whenever a choice changes.
 */
import { useState } from 'react';
import type { FleetPlanView } from '../../src/api/fleet-plan-schema.ts';
import { asGodwitError } from '../../src/base/errors.ts';
import { formatDuration, formatSize, parseDurationMs } from '../../src/base/units.ts';
import { SelectField, TextField } from '../parts/field.tsx';
import { useLoaded } from '../parts/loaded.ts';
import { ErrorNotice, ended, Notice } from '../parts/notice.tsx';
import { Figures, PageHead, Panel } from '../parts/panel.tsx';
import { count } from '../parts/words.ts';
import { useFleetCalls, useFleetState } from '../session/fleet-context.ts';
import { goTo, linkToFleet } from '../session/route.ts';
import { Timeline, TimelineLegend } from './timeline.tsx';

/** The fleet changes while one looks. */
const REFRESH_MS = 15_000;
const ANYWHERE = '';

export function EvacuatePage({ host }: { host: string }): React.JSX.Element {
  const calls = useFleetCalls();
  const { hosts, vms, evacuations } = useFleetState();
  const [to, setTo] = useState(ANYWHERE);
  const [deadline, setDeadline] = useState('');
  const [error, setError] = useState<unknown>(undefined);
  const [isStarting, setStarting] = useState(false);
  const { deadlineMs, wrong } = readDeadline(deadline);
  const choices = { ...(to === ANYWHERE ? {} : { to }), ...(deadlineMs === undefined ? {} : { deadlineMs }) };
  const plan = useLoaded(() => calls.plan({ host, ...choices }), `plan ${host} ${to} ${deadlineMs}`, REFRESH_MS);
  const going = evacuations.find(({ from, endedAtMs }) => from === host && endedAtMs === null);
  const own = vms.filter((vm) => vm.host === host).length;
  const movable = plan.value?.moves.length ?? 0;

  const start = async (): Promise<void> => {
    setStarting(true);
    setError(undefined);
    try {
      const { id } = await calls.evacuate({ from: host, ...choices, by: 'dashboard' });
      goTo('evacuations', id);
    } catch (thrown) {
      setError(thrown);
      setStarting(false);
    }
  };

  return (
    <>
      <PageHead
        title={`Evacuate host ${host}`}
        crumbs={<a href={linkToFleet()}>Fleet</a>}
        lead={`${own === 1 ? 'Its VM goes to another host and keeps' : `Its ${own} VMs go to other hosts and keep`} running meanwhile. It can be cancelled at any moment: what has moved stays there, the rest stays here.`}
      />
      {going === undefined ? null : (
        <Notice tone="warn">
          <span>
            It is being evacuated already. <a href={linkToFleet('evacuations', going.id)}>Watch it</a>
          </span>
        </Notice>
      )}
      <Panel title="1. Where to, and until when">
        <div className="fields" style={{ maxWidth: 640 }}>
          <SelectField
            label="Destination"
            value={to}
            onChange={setTo}
            options={[
              { value: ANYWHERE, text: 'Wherever is best' },
              ...hosts
                .filter(({ name, takesVms }) => name !== host && takesVms)
                .map(({ name }) => ({ value: name, text: `All to ${name}` })),
            ]}
            hint="By room, by what is there already, and by how busy the ways are."
          />
          <TextField
            label="All there within"
            value={deadline}
            onChange={setDeadline}
            placeholder="no deadline"
            wrong={wrong}
            hint="Such as 10m. VMs that could not make it otherwise end in post-copy."
          />
        </div>
      </Panel>
      <Panel title="2. The plan" aside={plan.value === undefined ? undefined : 'made anew as things change'}>
        {plan.error === undefined ? null : <ErrorNotice error={plan.error} title="There is no plan." />}
        {plan.value === undefined ? (
          plan.error === undefined ? (
            <p className="soft">Making a plan…</p>
          ) : null
        ) : (
          <Plan plan={plan.value} />
        )}
      </Panel>
      {error === undefined ? null : <ErrorNotice error={error} title="It was not begun." />}
      <div className="actions">
        <button
          type="button"
          className="primary"
          disabled={movable === 0 || isStarting || wrong !== undefined || going !== undefined}
          onClick={() => void start()}
        >
          {movable === 0 ? `Evacuate ${host}` : `Evacuate ${host}: move ${count(movable, 'VM')}`}
        </button>
        <a className="button" href={linkToFleet()}>
          Back
        </a>
        {plan.value !== undefined && movable === 0 ? (
          <span className="soft">There is nothing that could be moved.</span>
        ) : null}
      </div>
    </>
  );
}

function Plan({ plan }: { plan: FleetPlanView }): React.JSX.Element {
  const { moves, bundles, refused, late, unreachable, makespanMs, lowerBoundMs, quietBoundMs, madeAtMs } = plan;
  const bytes = moves.reduce((sum, move) => sum + move.prediction.bytes.p50, 0);
  const longest = Math.max(0, ...moves.map(({ prediction }) => prediction.downtimeMs.p50));
  return (
    <>
      <Figures
        items={[
          {
            name: 'Will move',
            value: count(moves.length, 'VM'),
            detail: refused.length === 0 ? 'all of them' : `${refused.length} cannot`,
          },
          {
            name: 'Over in about',
            value: formatDuration(makespanMs),
            detail: bestOf(lowerBoundMs, quietBoundMs),
          },
          { name: 'Bytes to send', value: formatSize(bytes) },
          { name: 'Longest downtime', value: formatDuration(longest), detail: 'predicted' },
        ]}
      />
      {refused.length === 0 ? null : (
        <Notice tone="warn" title={`${count(refused.length, 'VM')} would stay`}>
          <ul className="stack-tight">
            {refused.map(({ vm, text }) => (
              <li key={vm}>{ended(text.includes(vm) ? text : `${vm}: ${text}`)}</li>
            ))}
          </ul>
        </Notice>
      )}
      {late.length === 0 ? null : (
        <Notice tone="warn" title="The deadline would be missed">
          <span>
            {late.map(({ vm }) => vm).join(', ')} would be there up to {formatDuration(late[0]!.byMs)} too late. Give
            more time, or another destination.
          </span>
        </Notice>
      )}
      {unreachable.map(({ name, failure }) => (
        <Notice key={name} tone="warn">
          <span>
            Host {name} does not answer and gets nothing: {ended(failure)}
          </span>
        </Notice>
      ))}
      {bundles.length === 0 ? null : (
        <Notice tone="calm" title="VMs that go as one">
          <ul className="stack-tight">
            {bundles.map(({ vms, text }) => (
              <li key={vms.join()}>{ended(text)}</li>
            ))}
          </ul>
        </Notice>
      )}
      {moves.length === 0 ? null : (
        <>
          <TimelineLegend withActual={false} />
          <Timeline
            fromMs={madeAtMs}
            nowMs={null}
            rows={moves.map((move) => ({
              name: move.vm,
              detail: (
                <span className="soft">
                  {' '}
                  to {move.detourTo === null ? move.to : `${move.to}, then ${move.detourTo}`}
                </span>
              ),
              predicted: {
                fromMs: move.startsAtMs,
                toMs: move.endsAtMs,
                lastMs: move.startsAtMs + move.prediction.totalMs.p90,
              },
              actual: null,
              text: ended(move.text),
            }))}
          />
        </>
      )}
    </>
  );
}

function readDeadline(text: string): { deadlineMs?: number; wrong?: string } {
  if (text.trim() === '') return {};
  try {
    return { deadlineMs: Math.max(1, Math.round(parseDurationMs(text, 'deadline'))) };
  } catch (error) {
    return { wrong: String(asGodwitError(error).details['fix'] ?? '').replace(/^give/, 'Give') };
  }
}

/** What no plan could do better. */
function bestOf(lowerBoundMs: number, quietBoundMs: number): string | undefined {
  if (lowerBoundMs <= 0) return undefined;
  const [best, quiet] = [formatDuration(lowerBoundMs), formatDuration(quietBoundMs)];
  return best === quiet ? `at best ${best}` : `at best ${best}; ${quiet} with the waits for quiet phases`;
}

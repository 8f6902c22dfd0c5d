/** Marks a host for maintenance, or takes the mark away. */
import { useState } from 'react';
import { CheckField, TextField } from '../parts/field.tsx';
import { ErrorNotice, Notice, sentence } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { count } from '../parts/words.ts';
import { useFleetCalls, useFleetState } from '../session/fleet-context.ts';
import { goTo, linkToFleet } from '../session/route.ts';

export function MaintenancePage({ host }: { host: string }): React.JSX.Element {
  const calls = useFleetCalls();
  const { hosts, vms } = useFleetState();
  const [reason, setReason] = useState('');
  const [evacuate, setEvacuate] = useState(true);
  const [error, setError] = useState<unknown>(undefined);
  const view = hosts.find(({ name }) => name === host);
  const own = vms.filter((vm) => vm.host === host).length;
  const set = async (on: boolean): Promise<void> => {
    setError(undefined);
    try {
      const request = on ? { on, evacuate, ...(reason.trim() === '' ? {} : { reason: reason.trim() }) } : { on };
      const { evacuation } = await calls.setMaintenance(host, request);
      if (evacuation === null) goTo();
      else goTo('evacuations', evacuation);
    } catch (thrown) {
      setError(thrown);
    }
  };
  if (view === undefined)
    return <PageHead title={`There is no host ${host}`} crumbs={<a href={linkToFleet()}>Fleet</a>} />;
  return (
    <>
      <PageHead
        title={`Maintenance of ${host}`}
        crumbs={<a href={linkToFleet()}>Fleet</a>}
        lead="A host that is marked gets no VMs until the mark is taken away."
      />
      {view.maintenance === null ? null : (
        <Notice tone="warn" title={`Marked since ${new Date(view.maintenance.sinceMs).toLocaleString()}`}>
          {view.maintenance.reason === null ? null : <span>{sentence(view.maintenance.reason)}</span>}
        </Notice>
      )}
      {error === undefined ? null : <ErrorNotice error={error} />}
      {view.maintenance === null ? (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            void set(true);
          }}
        >
          <Panel title="Mark it">
            <TextField
              label="Reason, for others"
              value={reason}
              onChange={setReason}
              placeholder="new memory on Tuesday"
            />
            <CheckField
              label={`Move its ${count(own, 'VM')} away now`}
              hint="By the plan that Evacuate… shows."
              checked={evacuate}
              onChange={setEvacuate}
            />
          </Panel>
          <div className="actions">
            <button type="submit" className="primary">
              Mark {host} for maintenance
            </button>
            <a className="button" href={linkToFleet()}>
              Back
            </a>
          </div>
        </form>
      ) : (
        <div className="actions">
          <button type="button" className="primary" onClick={() => void set(false)}>
            Take the mark away
          </button>
          <a className="button" href={linkToFleet()}>
            Back
          </a>
        </div>
      )}
    </>
  );
}

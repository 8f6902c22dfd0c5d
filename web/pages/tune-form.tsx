/** Changes the limits of a migration that runs. */
import { useState } from 'react';
import type { MigrationView, TuneBody } from '../../src/api/migration-schema.ts';
import { formatBandwidth, formatDuration } from '../../src/base/units.ts';
import { TextField } from '../parts/field.tsx';
import { ErrorNotice } from '../parts/notice.tsx';
import { Panel } from '../parts/panel.tsx';
import { useCalls } from '../session/host-context.ts';
import { type LimitFields, readLimits, type WrongFields } from './migrate-form.ts';

const UNCHANGED: LimitFields = { finishBy: '', bandwidth: '', maxDowntime: '' };

export function TuneForm({
  id,
  options,
}: {
  id: string;
  options: NonNullable<MigrationView['options']>;
}): React.JSX.Element {
  const calls = useCalls();
  const [form, setForm] = useState(UNCHANGED);
  const [wrong, setWrong] = useState<WrongFields>({});
  const [error, setError] = useState<unknown>(undefined);
  const [said, setSaid] = useState('');
  const change = (changes: Partial<LimitFields>): void => setForm((before) => ({ ...before, ...changes }));
  const submit = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    const { limits, wrong: found } = readLimits(form);
    setWrong(found);
    setError(undefined);
    if (Object.keys(found).length > 0) return;
    if (Object.keys(limits).length === 0) {
      setSaid('Nothing to change: give at least one limit.');
      return;
    }
    try {
      await calls.tuneMigration(id, limits as TuneBody);
      setForm(UNCHANGED);
      setSaid('Changed.');
    } catch (thrown) {
      setError(thrown);
      setSaid('');
    }
  };
  return (
    <Panel title="Limits" aside="may be changed while it runs">
      <form className="stack-tight" onSubmit={(event) => void submit(event)}>
        <div className="fields">
          <TextField
            label="Bandwidth at most"
            value={form.bandwidth}
            onChange={(bandwidth) => change({ bandwidth })}
            placeholder={
              options.bandwidthBytesPerSecond === 0 ? 'unlimited' : formatBandwidth(options.bandwidthBytesPerSecond)
            }
            wrong={wrong.bandwidth}
            hint="Such as 1Gbit/s, or unlimited."
          />
          <TextField
            label="Downtime at most"
            value={form.maxDowntime}
            onChange={(maxDowntime) => change({ maxDowntime })}
            placeholder={formatDuration(options.maxDowntimeMs)}
            wrong={wrong.maxDowntime}
            hint="Such as 100ms: a longer one is reached sooner."
          />
          {options.mode === 'pre-copy' ? null : (
            <TextField
              label="Over within"
              value={form.finishBy}
              onChange={(finishBy) => change({ finishBy })}
              placeholder={options.finishByMs === 0 ? 'no promise' : formatDuration(options.finishByMs)}
              wrong={wrong.finishBy}
              hint="Counted from its beginning."
            />
          )}
        </div>
        <div className="actions">
          <button type="submit">Change the limits</button>
          <span role="status" className="soft">
            {said}
          </span>
        </div>
        {error === undefined ? null : <ErrorNotice error={error} />}
      </form>
    </Panel>
  );
}

/** How a VM, or each VM of a group, is to move: the few choices that matter, the rest folded away. */
import { CheckField, SelectField, TextField } from '../parts/field.tsx';
import { type MigrateForm, MODES, type WrongFields } from './migrate-form.ts';

export function HowFields(props: {
  form: MigrateForm;
  wrong: WrongFields;
  change: (changes: Partial<MigrateForm>) => void;
  /** Further fields, before the others. */
  children?: React.ReactNode;
}): React.JSX.Element {
  const { form, wrong, change } = props;
  return (
    <>
      <div className="fields">
        {props.children}
        <SelectField
          label="Mode"
          value={form.mode}
          options={MODES.map(({ value, text }) => ({ value, text }))}
          onChange={(mode) => change({ mode })}
          hint={MODES.find(({ value }) => value === form.mode)?.hint ?? ''}
        />
        <TextField
          label="Over within"
          value={form.finishBy}
          onChange={(finishBy) => change({ finishBy })}
          placeholder="no promise"
          wrong={wrong.finishBy}
          hint="Such as 90s or 5m: post-copy begins in time for that."
        />
        <TextField
          label="Bandwidth at most"
          value={form.bandwidth}
          onChange={(bandwidth) => change({ bandwidth })}
          placeholder="unlimited"
          wrong={wrong.bandwidth}
          hint="Such as 1Gbit/s or 200MiB/s."
        />
      </div>
      <details>
        <summary>More choices</summary>
        <div className="fields">
          <TextField
            label="Downtime at most"
            value={form.maxDowntime}
            onChange={(maxDowntime) => change({ maxDowntime })}
            placeholder="50 ms"
            wrong={wrong.maxDowntime}
            hint="What the handover may be predicted to take."
          />
          <div className="field">
            <CheckField
              label="May slow the VM down"
              hint="When it writes faster than its memory can be sent."
              checked={form.throttle}
              onChange={(throttle) => change({ throttle })}
            />
            <CheckField
              label="Compare all memory at the end"
              hint="Digests on both sides, while the VM stands still: the downtime grows."
              checked={form.verify}
              onChange={(verify) => change({ verify })}
            />
          </div>
        </div>
      </details>
    </>
  );
}

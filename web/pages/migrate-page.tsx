/**
 * Starts a migration: where to, a check of what would be in its way, the few choices that matter, the rest folded away.
 *
 * Must hold: nothing moves before the check of the destination that is shown has passed; a value that the host would refuse
 * is named at its field.
 */
import { useState } from 'react';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import { asGodwitError, hasCode } from '../../src/base/errors.ts';
import { CheckField, SelectField, TextField } from '../parts/field.tsx';
import { ErrorNotice, Notice } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { useCalls, useHostState } from '../session/host-context.ts';
import { useKnownHosts } from '../session/known-hosts.ts';
import { goTo, linkTo } from '../session/route.ts';
import { type Check, DestinationCheck, useCheck } from './destination-check.tsx';
import { EMPTY_FORM, type MigrateForm, MODES, readForm, type WrongFields } from './migrate-form.ts';

const OTHER = '';
export function MigratePage({ name }: { name: string }): React.JSX.Element {
  const calls = useCalls();
  const { vms } = useHostState();
  const known = useKnownHosts();
  const [peer, setPeer] = useState(known[0]?.to ?? OTHER);
  const [address, setAddress] = useState('');
  const [form, setForm] = useState<MigrateForm>(EMPTY_FORM);
  const [wrong, setWrong] = useState<WrongFields>({});
  const [error, setError] = useState<unknown>(undefined);
  const [isStarting, setStarting] = useState(false);
  const to = peer === OTHER ? address.trim() : peer;
  const { check, again } = useCheck(name, to);
  const vm = vms.find((each) => each.name === name);
  const change = (changes: Partial<MigrateForm>): void => setForm((before) => ({ ...before, ...changes }));
  const isReady = check?.kind === 'answered' && check.result.ok;

  const start = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    if (!isReady || isStarting) return;
    const { body, wrong: found } = readForm(form, to);
    setWrong(found);
    if (body === undefined) return;
    setStarting(true);
    try {
      const migration = await calls.migrate(name, body);
      goTo('migrations', migration.id);
    } catch (thrown) {
      setStarting(false);
      const field = wrongFieldOf(thrown);
      if (field === undefined) setError(thrown);
      else setWrong(field);
    }
  };

  return (
    <>
      <PageHead
        title={`Migrate ${name}`}
        crumbs={<a href={linkTo('vms', name)}>{name}</a>}
        lead="The VM keeps running while its memory is copied; it stands still only for the handover. If anything goes wrong before that, it stays here as it was."
      />
      {vm !== undefined && vm.migration !== null ? (
        <Notice tone="warn">
          <span>
            A migration has it already. <a href={linkTo('migrations', vm.migration)}>Watch it</a>
          </span>
        </Notice>
      ) : null}
      <form className="form" onSubmit={(event) => void start(event)}>
        <Panel title="1. Where to">
          <div className="fields">
            {known.length === 0 ? null : (
              <SelectField
                label="Destination"
                value={peer}
                onChange={setPeer}
                options={[
                  ...known.map(({ to: value, name: text, address: where }) => ({ value, text: `${text} (${where})` })),
                  { value: OTHER, text: 'Another address…' },
                ]}
              />
            )}
            {peer === OTHER ? (
              <TextField
                label="Migration address of the other host"
                value={address}
                onChange={setAddress}
                placeholder="10.0.0.2:7710"
                hint="HOST:PORT, as that host’s own dashboard shows it. Hosts that the config names as peers can be chosen by name."
              />
            ) : null}
          </div>
          <DestinationCheck check={check} name={name} again={again} />
        </Panel>
        <Panel title="2. How">
          <div className="fields">
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
        </Panel>
        {error === undefined ? null : <ErrorNotice error={error} title="It was not started." />}
        <div className="actions">
          <button type="submit" className="primary" disabled={!isReady || isStarting} aria-describedby="why-not">
            Start the migration
          </button>
          <a className="button" href={linkTo('vms', name)}>
            Back
          </a>
          <span id="why-not" className="soft">
            {isReady ? '' : whyNot(check, to)}
          </span>
        </div>
      </form>
    </>
  );
}

function whyNot(check: Check | undefined, to: string): string {
  if (to === '') return 'Choose where to first.';
  if (check === undefined || check.kind === 'asking') return 'Waiting for the check.';
  return 'What is in the way has to be fixed first.';
}

const FIELD_OF: Readonly<Record<string, keyof WrongFields>> = {
  finishByMs: 'finishBy',
  bandwidthBytesPerSecond: 'bandwidth',
  maxDowntimeMs: 'maxDowntime',
} satisfies Partial<Record<keyof MigrateBody, keyof WrongFields>>;

function wrongFieldOf(thrown: unknown): WrongFields | undefined {
  if (!hasCode(thrown, 'GW_INPUT_INVALID')) return undefined;
  const { details, message } = asGodwitError(thrown);
  const field = FIELD_OF[String(details['field'])];
  return field === undefined ? undefined : { [field]: String(details['fix'] ?? message) };
}
